// Sorting whole lists of all rows of a pass at once: one sort of all their keys, of which the row is the
// leading part.
#include "kernels/cuda/select_k_paths.cuh"
#include "kernels/cuda/sort_keys.cuh"

namespace fastret::cuda {
namespace {

constexpr int64_t kListedPerBlock = 4 * kThreads;

int bits_for(int64_t count) {
  int bits = 0;
  while (int64_t(1) << bits < count) ++bits;
  return bits;
}

// The lists of one pass. A key is, from the top, the row (larger for the earlier), the ordered value, the
// inverted column.
struct Lists {
  int64_t rows, length;
  int row_bits, column_bits;
  int64_t blocks_per_row;

  Lists(const SelectKParams& p, int64_t rows, int64_t length)
      : rows(rows),
        length(length),
        row_bits(bits_for(rows)),
        column_bits(bits_for(p.values.dim)),
        blocks_per_row(ceil_div(length, kListedPerBlock)) {}

  __device__ uint64_t key(int64_t row, uint64_t rank_key) const {
    const uint64_t ordered = rank_key >> 32, column_mask = (uint64_t(1) << column_bits) - 1;
    return ((uint64_t(rows - 1 - row) << 32 | ordered) << column_bits) | (rank_key & column_mask);
  }
  __device__ uint32_t ordered(uint64_t key) const { return uint32_t(key >> column_bits); }
  __device__ uint32_t column(uint64_t key) const {
    return uint32_t(~key & ((uint64_t(1) << column_bits) - 1));
  }
};

// Calls each(row, place) for the places of the block's part of a row of `length`, blocks_per_row for each.
template <class Each>
__device__ __forceinline__ void for_places(int64_t blocks_per_row, int64_t length, const Each& each) {
  const int64_t row = blockIdx.x / blocks_per_row;
  const int64_t begin = blockIdx.x % blocks_per_row * kListedPerBlock;
#pragma unroll
  for (int64_t i = threadIdx.x; i < kListedPerBlock; i += kThreads)
    if (begin + i < length) each(row, begin + i);
}

__global__ void __launch_bounds__(kThreads)
    list_rows(SelectKParams p, int64_t first_row, Lists lists, uint64_t* keys) {
  const RankedRows rows(p);
  for_places(lists.blocks_per_row, lists.length, [&](int64_t row, int64_t column) {
    keys[row * lists.length + column] = lists.key(row, rows.key(first_row + row, column));
  });
}

__global__ void __launch_bounds__(kThreads)
    list_candidates(RowCandidates candidates, Lists lists, uint64_t* keys) {
  for_places(lists.blocks_per_row, lists.length, [&](int64_t row, int64_t i) {
    const int64_t source = row * candidates.capacity + i;
    keys[source] = lists.key(row, i < candidates.counts[row] ? candidates.keys[source] : kNothing);
  });
}

__global__ void __launch_bounds__(kThreads) write_lists(SelectKParams p, int64_t first_row, Lists lists,
                                                        const uint64_t* keys, int64_t blocks_per_row) {
  const RankedRows rows(p);
  for_places(blocks_per_row, p.k, [&](int64_t row, int64_t place) {
    const uint64_t key = place < lists.length ? keys[row * lists.length + place] : kNothing;
    rows.write(first_row + row, place, lists.ordered(key), lists.column(key));
  });
}

void sort_lists(Launcher& launch, const SelectKParams& p, int64_t first_row, const Lists& lists,
                const SortBuffers& buffers, int first_bit) {
  const uint64_t* sorted = buffers.keys;
  launch.by([&](cudaStream_t stream) {
    return sort_keys(buffers.keys, buffers.spare, lists.rows * lists.length, first_bit,
                     32 + lists.column_bits + lists.row_bits, buffers.workspace, buffers.workspace_bytes,
                     stream, sorted);
  });
  const int64_t blocks_per_row = ceil_div(p.k, kListedPerBlock);
  launch(write_lists, lists.rows * blocks_per_row, p, first_row, lists, sorted, blocks_per_row);
}

struct Buffers {
  SortBuffers sort;
  int64_t rows;  // per pass
  int64_t bytes;
};

Buffers lay_out(const SelectKParams& p, const SelectKTuning& tuning, void* workspace) {
  Workspace pieces(workspace);
  Buffers buffers = {};
  buffers.rows = rows_per_sort(p, 2 * p.values.dim * int64_t(sizeof(uint64_t)), tuning);
  const int64_t keys = buffers.rows * p.values.dim;
  buffers.sort = take_sort_buffers(pieces, keys, pieces.take<uint64_t>(keys));
  buffers.bytes = pieces.bytes();
  return buffers;
}

}  // namespace

int64_t rows_per_sort(const SelectKParams& p, int64_t row_bytes, const SelectKTuning& tuning) {
  const int64_t distinct = int64_t(1) << (32 - bits_for(p.values.dim));  // so that a key has 64 bits
  const int64_t rows = std::clamp<int64_t>(p.values.rows, 1, distinct);
  return std::clamp<int64_t>(tuning.candidate_bytes / row_bytes, 1, rows);
}

SortBuffers take_sort_buffers(Workspace& pieces, int64_t keys, uint64_t* spare) {
  SortBuffers buffers = {pieces.take<uint64_t>(keys), spare, nullptr, sort_keys_workspace_bytes(keys)};
  buffers.workspace = pieces.take<char>(buffers.workspace_bytes);
  return buffers;
}

void sort_candidates(Launcher& launch, const SelectKParams& p, int64_t first_row, int64_t rows,
                     const RowCandidates& candidates, const SortBuffers& buffers) {
  const Lists lists(p, rows, candidates.capacity);
  launch(list_candidates, rows * lists.blocks_per_row, candidates, lists, buffers.keys);
  sort_lists(launch, p, first_row, lists, buffers, 0);
}

int64_t sort_rows_workspace_bytes(const SelectKParams& p, const SelectKTuning& tuning) {
  return lay_out(p, tuning, nullptr).bytes;
}

void sort_rows(Launcher& launch, const SelectKParams& p, void* workspace, const SelectKTuning& tuning) {
  const Buffers buffers = lay_out(p, tuning, workspace);
  for (int64_t first_row = 0; first_row < p.values.rows; first_row += buffers.rows) {
    const Lists lists(p, std::min(buffers.rows, p.values.rows - first_row), p.values.dim);
    launch(list_rows, lists.rows * lists.blocks_per_row, p, first_row, lists, buffers.sort.keys);
    // The sort keeps the order of columns where values are equal, and the lower half of 16-bit values is the
    // same for all of a sign.
    const int unsorted = lists.column_bits + (p.values.dtype == DType::f32 ? 0 : 16);
    sort_lists(launch, p, first_row, lists, buffers.sort, unsorted);
  }
}

}  // namespace fastret::cuda
