// Long rows. A sample of the row gives a key that, most likely, k and a few more keys of the row reach; those
// that do become candidates while the row is read once, and the k best of them are sorted. The places of the
// sample are independent of the row and keys are distinct, as they include the column: so the odds are the
// same whatever the values and their order, ties included. Where the sample misled all the same, too few or
// too many keys reach the threshold, which their count tells: then one block selects from the whole row,
// slower but as exactly.
#include <cmath>

#include "kernels/cuda/best_keys.cuh"
#include "kernels/cuda/select_k_paths.cuh"

namespace fastret::cuda {
namespace {

constexpr uint64_t kLowestKey = 1;  // every key but kNothing reaches it

struct Plan {
  int64_t k;         // places that can be filled
  int64_t rows;      // per pass
  int sample_bits;   // the sample has 2^sample_bits columns
  uint32_t reach;    // the threshold is the sample's key of this rank
  int64_t capacity;  // candidates of a row
  int64_t segments;  // of a row, a block for each
  int64_t segment;   // 16-byte vectors
};

// The candidates of a row may outnumber their capacity: then `found.counts` is larger, and the rest was not
// stored.
struct Candidates {
  KeyRows found;
  uint64_t* thresholds;  // [rows] smallest key that is a candidate
};

int64_t sort_bytes(const Plan& plan, const SelectKTuning& tuning) {
  return plan.k > kSortInBlock ? tuning.candidate_bytes / 4 : 0;
}

Plan plan_filter(const RankedRows& rows, const SelectKTuning& tuning) {
  Plan plan = {};
  const int64_t columns = rows.columns;
  plan.k = std::min(rows.k, columns);

  const int64_t wanted =
      std::clamp<int64_t>(columns * rows.element_bytes / tuning.bytes_per_sample, kThreads, kMostSamples);
  while (int64_t(2) << plan.sample_bits <= std::min(wanted, columns)) ++plan.sample_bits;
  const double columns_per_sample = double(columns) / double(int64_t(1) << plan.sample_bits);
  // The sample holds a number of the k best whose variance is at most its expectation; the 1 is for
  // expectations below 1, where chances are those of a Poisson distribution.
  const auto at_most = [&](double expected) { return expected + tuning.spread * (1 + std::sqrt(expected)); };
  const double reach = std::ceil(std::max(1.0, at_most(double(plan.k) / columns_per_sample)));
  plan.reach = uint32_t(reach);
  plan.capacity = std::clamp(int64_t(at_most(reach) * columns_per_sample), plan.k, columns);

  const int64_t row_bytes = plan.capacity * int64_t(sizeof(uint64_t));
  const int64_t bytes = tuning.candidate_bytes - sort_bytes(plan, tuning);
  plan.rows = std::clamp<int64_t>(bytes / row_bytes, 1, std::max<int64_t>(1, rows.rows));

  const int64_t vectors = columns * rows.element_bytes / 16 + 2;  // and those cut by the row's ends
  const int64_t most = std::max<int64_t>(1, columns / tuning.segment_columns);
  plan.segments = std::clamp<int64_t>(ceil_div(tuning.target_blocks, plan.rows), 1, most);
  plan.segment = ceil_div(vectors, plan.segments);
  plan.segments = ceil_div(vectors, plan.segment);
  return plan;
}

// Column i of the sample: one of each of 2^sample_bits stretches of the row, at a place within it that
// follows no period of the row's.
__device__ __forceinline__ uint32_t sampled_column(uint32_t i, int64_t columns, int sample_bits) {
  const uint64_t begin = (uint64_t(i) * uint64_t(columns)) >> sample_bits;
  const uint64_t end = ((uint64_t(i) + 1) * uint64_t(columns)) >> sample_bits;
  uint32_t mixed = (i + 1) * 0x9e3779b9u;
  mixed = (mixed ^ mixed >> 16) * 0x85ebca6bu;
  mixed ^= mixed >> 13;
  return uint32_t(begin + ((end - begin) * mixed >> 32));
}

// One block per row.
__global__ void __launch_bounds__(kThreads)
    sample_thresholds(RankedRows rows, Plan plan, Candidates candidates) {
  __shared__ SelectionState state;
  __shared__ uint32_t ordered[kMostSamples];
  const int64_t row = blockIdx.x;
  const uint32_t samples = 1u << plan.sample_bits;
#pragma unroll 8
  for (uint32_t i = threadIdx.x; i < samples; i += kThreads)
    ordered[i] = rows.ordered(rows.load(row, sampled_column(i, rows.columns, plan.sample_bits)));
  __syncthreads();
  const auto source = [&](int64_t i) {
    return rank_key(ordered[i], sampled_column(uint32_t(i), rows.columns, plan.sample_bits));
  };
  const uint64_t threshold = kth_largest(source, samples, plan.reach, state);
  if (threadIdx.x == 0) {
    candidates.thresholds[row] = threshold;
    candidates.found.counts[row] = 0;
  }
}

struct alignas(16) Vector {
  uint32_t words[4];
};

// A row as 16-byte vectors at addresses that 16 divides; beyond the row's ends they hold NaN.
template <class Element>
struct RowVectors {
  static constexpr int kElements = 16 / sizeof(Element);
  const Element* data;
  int64_t columns;
  int before;  // elements of the first vector that precede the row

  __device__ RowVectors(const RankedRows& rows, int64_t row)
      : data(reinterpret_cast<const Element*>(rows.values) + row * rows.row_stride),
        columns(rows.columns),
        before(int(reinterpret_cast<uintptr_t>(data) % 16 / sizeof(Element))) {}

  __device__ int64_t column(int64_t vector, int element) const {
    return vector * kElements - before + element;
  }

  __device__ Vector load(int64_t vector) const {
    const int64_t first = column(vector, 0);
    if (first >= 0 && first + kElements <= columns) return *reinterpret_cast<const Vector*>(data + first);
    Vector partial = nothing();
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      if (first + i < 0 || first + i >= columns) continue;
      const int shift = i * int(sizeof(Element)) % 4 * 8;
      uint32_t& word = partial.words[i * int(sizeof(Element)) / 4];
      word = (word & ~(uint32_t(Element(~0u)) << shift)) | uint32_t(data[first + i]) << shift;
    }
    return partial;
  }

  static __device__ Vector nothing() { return {{~0u, ~0u, ~0u, ~0u}}; }

  // As RankedRows takes it.
  static __device__ uint32_t bits(const Vector& vector, int element) {
    if (sizeof(Element) == 4) return vector.words[element];
    const uint32_t word = vector.words[element / 2];
    return element % 2 ? word & 0xffff0000u : word << 16;
  }
};

// One block per segment, the segments of a row side by side.
template <class Element>
__global__ void __launch_bounds__(kThreads)
    filter_segments(RankedRows rows, Plan plan, Candidates candidates) {
  constexpr int kElements = RowVectors<Element>::kElements;
  constexpr int kVectors = 16 / kElements;  // of a thread in flight: 16 values
  const int64_t row = blockIdx.x / plan.segments, segment = blockIdx.x % plan.segments;
  const RowVectors<Element> vectors(rows, row);
  const uint64_t threshold = candidates.thresholds[row];
  uint64_t* kept = candidates.found.keys + row * candidates.found.capacity;

  const int64_t end = (segment + 1) * plan.segment;
  for (int64_t first = segment * plan.segment; first < end; first += kVectors * kThreads) {
    Vector loaded[kVectors];
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int64_t vector = first + v * kThreads + threadIdx.x;
      loaded[v] = vector < end ? vectors.load(vector) : vectors.nothing();
    }
    uint64_t keys[16];
    uint32_t reaching = 0;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
      for (int i = 0; i < kElements; ++i) {
        uint64_t& key = keys[v * kElements + i];
        key = rank_key(rows.ordered(RowVectors<Element>::bits(loaded[v], i)),
                       uint32_t(vectors.column(first + v * kThreads + threadIdx.x, i)));
        reaching += key >= threshold;
      }
    }
    if (!__ballot_sync(kAllLanes, reaching > 0)) continue;
    const uint32_t inclusive = warp_inclusive_sum(reaching);
    uint32_t place = 0;
    if (threadIdx.x % 32 == 31) place = atomicAdd(&candidates.found.counts[row], inclusive);
    place = __shfl_sync(kAllLanes, place, 31) + inclusive - reaching;
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      if (keys[i] < threshold) continue;
      if (place < candidates.found.capacity) kept[place] = keys[i];
      ++place;
    }
  }
}

// One block per row, which has work only where the sample misled.
__global__ void __launch_bounds__(kThreads) settle_rows(RankedRows rows, uint32_t k, Candidates candidates) {
  __shared__ SelectionState state;
  const int64_t row = blockIdx.x;
  const uint32_t count = candidates.found.counts[row];
  const bool enough = count >= k || candidates.thresholds[row] == kLowestKey;
  if (enough && count <= candidates.found.capacity) return;
  const auto source = [&](int64_t column) { return rows.key(row, column); };
  const uint32_t selected =
      select_largest(source, rows.columns, k, state, candidates.found.keys + row * candidates.found.capacity);
  if (threadIdx.x == 0) candidates.found.counts[row] = selected;
}

struct Buffers {
  Candidates candidates;
  SortBuffers sort;
  int64_t bytes;
};

Buffers lay_out(const RankedRows& rows, const Plan& plan, const SelectKTuning& tuning, void* workspace) {
  Workspace pieces(workspace);
  Buffers buffers = {};
  buffers.candidates = {
      {pieces.take<uint64_t>(plan.rows * plan.capacity), pieces.take<uint32_t>(plan.rows), plan.capacity},
      pieces.take<uint64_t>(plan.rows)};
  if (plan.k > kSortInBlock)
    buffers.sort =
        take_sort_buffers(pieces, plan.rows, plan.capacity, rows.columns, sort_bytes(plan, tuning));
  buffers.bytes = pieces.bytes();
  return buffers;
}

}  // namespace

int64_t filter_rows_workspace_bytes(const RankedRows& rows, const SelectKTuning& tuning) {
  return lay_out(rows, plan_filter(rows, tuning), tuning, nullptr).bytes;
}

void filter_rows(Launcher& launch, const RankedRows& rows, void* workspace, const SelectKTuning& tuning) {
  const Plan plan = plan_filter(rows, tuning);
  const Buffers buffers = lay_out(rows, plan, tuning, workspace);
  const auto filter = rows.element_bytes == 4 ? filter_segments<uint32_t> : filter_segments<uint16_t>;
  for (int64_t first = 0; first < rows.rows; first += plan.rows) {
    const RankedRows pass = rows.slice(first, plan.rows);
    launch(sample_thresholds, pass.rows, pass, plan, buffers.candidates);
    launch(filter, pass.rows * plan.segments, pass, plan, buffers.candidates);
    launch(settle_rows, pass.rows, pass, uint32_t(plan.k), buffers.candidates);
    write_best_keys(launch, buffers.candidates.found, pass.rows, plan.k, rows.columns, buffers.sort, pass);
  }
}

}  // namespace fastret::cuda
