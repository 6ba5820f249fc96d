// The k largest or smallest of each row: blocks select from segments of a row, then a merge joins a row's
// segments.
#include <algorithm>

#include "kernels/cuda/block_select.cuh"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/merge.cuh"

namespace fastret::cuda {
namespace {

struct Plan {
  int64_t k;         // places that can be filled
  int64_t segment;   // columns
  int64_t segments;  // of a row
  int64_t rows;      // per pass

  // Candidates of a segment of `columns`; a few are passed on whole, because the merge would sort as many
  // anyway.
  FASTRET_HOST_DEVICE int64_t kept(int64_t columns) const {
    const int64_t whole = k > kSortInBlock ? k : kSortInBlock;
    return columns <= whole ? columns : k;
  }
};

Plan plan_selection(const SelectKParams& p, const SelectKTuning& tuning) {
  Plan plan;
  const int64_t columns = p.values.dim, rows = std::max<int64_t>(1, p.values.rows);
  plan.k = std::clamp<int64_t>(columns, 1, p.k);
  // A segment much longer than k, so that the merge of all of them stays the smaller part.
  const int64_t most = std::max<int64_t>(1, columns / std::max(tuning.min_segment, 4 * plan.k));
  const int64_t segments = std::clamp<int64_t>(ceil_div(tuning.target_blocks, rows), 1, most);
  plan.segment = std::max<int64_t>(1, ceil_div(columns, segments));
  plan.segments = std::max<int64_t>(1, ceil_div(columns, plan.segment));
  const int64_t row_bytes =
      std::max<int64_t>(1, plan.segments * plan.kept(plan.segment) * int64_t(sizeof(uint64_t)));
  plan.rows = std::clamp<int64_t>(tuning.candidate_bytes / row_bytes, 1, rows);
  return plan;
}

// Rank keys of a segment: the position is the column.
struct SegmentSource {
  const void* values;
  DType dtype;
  bool largest;
  int64_t element, column;  // of the segment's first value

  __device__ uint64_t operator()(int64_t i) const {
    const float value = load_element(values, dtype, element + i);
    return rank_key(ordered_bits(largest ? value : -value), uint32_t(column + i));
  }
};

// One block per segment, the segments of a row side by side.
__global__ void __launch_bounds__(kThreads)
    select_segments(SelectKParams p, int64_t first_row, Plan plan, Candidates candidates) {
  __shared__ SelectionState state;
  const int64_t row = blockIdx.x / plan.segments, segment = blockIdx.x % plan.segments;
  const int64_t column = segment * plan.segment;
  const int64_t columns = column + plan.segment < p.values.dim ? plan.segment : p.values.dim - column;
  const SegmentSource source = {p.values.data, p.values.dtype, p.largest,
                                (first_row + row) * p.values.row_stride + column, column};
  uint64_t* kept = candidates.keys + row * candidates.capacity + segment * plan.kept(plan.segment);
  const int64_t kept_columns = plan.kept(columns);
  if (kept_columns == columns) {
    for (int64_t i = threadIdx.x; i < columns; i += kThreads) kept[i] = source(i);
  } else {
    const uint32_t selected = select_largest(source, columns, uint32_t(plan.k), state, kept);
    for (int64_t i = selected + threadIdx.x; i < plan.k; i += kThreads) kept[i] = kNothing;
  }
  const bool last = segment == plan.segments - 1;
  if (last && threadIdx.x == 0)
    candidates.counts[row] = uint32_t(segment * plan.kept(plan.segment) + kept_columns);
}

// The values as they were stored: a rank key has lost the sign of zero.
__global__ void __launch_bounds__(kThreads) gather_values(SelectKParams p) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= p.values.rows * p.k) return;
  const int64_t source = i / p.k * p.values.row_stride + p.columns[i];
  if (p.columns[i] < 0)
    store_element(p.selected, p.values.dtype, i, p.largest ? -INFINITY : INFINITY);
  else if (p.values.dtype == DType::f32)
    static_cast<float*>(p.selected)[i] = static_cast<const float*>(p.values.data)[source];
  else
    static_cast<uint16_t*>(p.selected)[i] = static_cast<const uint16_t*>(p.values.data)[source];
}

struct Buffers {
  Candidates candidates;
  float* ranks;
  uint64_t* lists;
  int64_t bytes;
};

Buffers lay_out(const SelectKParams& p, const Plan& plan, void* workspace) {
  Workspace pieces(workspace);
  Buffers buffers = {};
  const int64_t columns = p.values.dim, last_segment = columns - (plan.segments - 1) * plan.segment;
  buffers.candidates.capacity = (plan.segments - 1) * plan.kept(plan.segment) + plan.kept(last_segment);
  buffers.candidates.keys = pieces.take<uint64_t>(plan.rows * buffers.candidates.capacity);
  buffers.candidates.counts = pieces.take<uint32_t>(2 * plan.rows);
  buffers.candidates.thresholds = buffers.candidates.counts + plan.rows;
  buffers.ranks = pieces.take<float>(plan.rows * p.k);
  buffers.lists = pieces.take<uint64_t>(plan.rows * sorting_list_length(plan.k));
  buffers.bytes = pieces.bytes();
  return buffers;
}

}  // namespace

int64_t select_k_workspace_bytes(const SelectKParams& p, const SelectKTuning& tuning) {
  if (p.k == 0) return 0;
  return lay_out(p, plan_selection(p, tuning), nullptr).bytes;
}

cudaError_t select_k(const SelectKParams& p, void* workspace, cudaStream_t stream,
                     const SelectKTuning& tuning) {
  if (p.k == 0 || p.values.rows == 0) return cudaSuccess;
  if (p.values.dim > int64_t(UINT32_MAX)) return cudaErrorInvalidValue;  // positions are 32 bits
  const Plan plan = plan_selection(p, tuning);
  const Buffers buffers = lay_out(p, plan, workspace);
  Launcher launch(stream);
  for (int64_t first_row = 0; first_row < p.values.rows; first_row += plan.rows) {
    const int64_t rows = std::min(plan.rows, p.values.rows - first_row);
    launch(select_segments, rows * plan.segments, p, first_row, plan, buffers.candidates);
    const Neighbours result = {buffers.ranks, p.columns + first_row * p.k};
    merge(launch, {buffers.candidates, rows, plan.k, p.k, !p.largest, {}, 0, result, 0}, buffers.lists);
  }
  launch(gather_values, ceil_div(p.values.rows * p.k, kThreads), p);
  return launch.error();
}

}  // namespace fastret::cuda
