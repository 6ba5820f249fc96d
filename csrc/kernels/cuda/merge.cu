#include "kernels/cuda/merge.cuh"

#include <cmath>

#include "kernels/cuda/block_select.cuh"

namespace fastret::cuda {
namespace {

// A row's keys to merge: neighbours so far, then candidates.
struct MergeSource {
  const float* values;
  const int64_t* ids;
  int64_t held;
  bool negate;
  const uint64_t* candidates;

  __device__ MergeSource(const MergeParams& p, int64_t row)
      : values(p.held ? p.previous.values + row * p.width : nullptr),
        ids(p.held ? p.previous.ids + row * p.width : nullptr),
        held(p.held),
        negate(p.negate),
        candidates(p.candidates.keys + row * p.candidates.capacity) {}

  __device__ uint64_t operator()(int64_t i) const {
    if (i >= held) return candidates[i - held];
    if (ids[i] < 0) return kNothing;
    return rank_key(ordered_bits(negate ? -values[i] : values[i]), uint32_t(i));
  }
};

__device__ __forceinline__ void write_place(const MergeParams& p, int64_t row, int64_t place, uint64_t key) {
  float value = p.negate ? INFINITY : -INFINITY;
  int64_t id = -1;
  if (key != kNothing) {
    const int64_t position = position_of_key(key);
    id = position < p.held ? p.previous.ids[row * p.width + position] : p.first_id + position - p.held;
    value = value_of_key(key);
    if (p.negate) value = -value + 0.0f;
  }
  p.next.values[row * p.width + place] = value;
  p.next.ids[row * p.width + place] = id;
}

// Empties a row's candidates; `kth` is the row's new k-th key.
__device__ __forceinline__ void restart_row(const MergeParams& p, int64_t row, uint64_t kth) {
  p.candidates.counts[row] = 0;
  p.candidates.thresholds[row] = uint32_t(kth >> 32);
}

// One block per row, for k <= kSortInBlock.
__global__ void __launch_bounds__(kThreads, 6) merge_rows(MergeParams p) {
  __shared__ SelectionState state;
  __shared__ uint64_t list[kSortInBlock];
  const int64_t row = blockIdx.x;
  const MergeSource source(p, row);
  const int64_t size = p.held + p.candidates.counts[row];
  uint32_t listed;
  if (size <= kSortInBlock) {
    for (int64_t i = threadIdx.x; i < size; i += kThreads) list[i] = source(i);
    listed = uint32_t(size);
  } else {
    listed = select_largest(source, size, uint32_t(p.k), state, list);
  }
  const uint32_t length = uint32_t(power_of_two_from(listed > p.k ? listed : p.k));
  for (uint32_t i = listed + threadIdx.x; i < length; i += kThreads) list[i] = kNothing;
  __syncthreads();
  bitonic_sort(list, length, 0);
  for (int64_t place = threadIdx.x; place < p.width; place += kThreads)
    write_place(p, row, place, place < p.k ? list[place] : kNothing);
  if (threadIdx.x == 0) restart_row(p, row, list[p.k - 1]);
}

// For longer lists: one block per row collects the k largest keys in list[row * length, ...), padded with
// kNothing ...
__global__ void __launch_bounds__(kThreads) collect_rows(MergeParams p, uint64_t* lists, int64_t length) {
  __shared__ SelectionState state;
  const int64_t row = blockIdx.x;
  uint64_t* list = lists + row * length;
  const MergeSource source(p, row);
  const int64_t size = p.held + p.candidates.counts[row];
  const uint32_t listed = select_largest(source, size, uint32_t(p.k), state, list);
  for (int64_t i = listed + threadIdx.x; i < length; i += kThreads) list[i] = kNothing;
}

// ... blocks of kSortInBlock keys are sorted in shared memory, or joined there for the small distances of a
// long run; kSortInBlock divides `length`, a power of two ...
__global__ void __launch_bounds__(kThreads) sort_blocks(uint64_t* lists, int64_t length, int64_t run) {
  __shared__ uint64_t list[kSortInBlock];
  uint64_t* keys = lists + int64_t(blockIdx.x) * kSortInBlock;
  const uint64_t offset = uint64_t(blockIdx.x) * kSortInBlock & uint64_t(length - 1);
  for (int i = threadIdx.x; i < kSortInBlock; i += kThreads) list[i] = keys[i];
  __syncthreads();
  if (run <= kSortInBlock)
    bitonic_sort(list, kSortInBlock, offset);
  else
    bitonic_join(list, kSortInBlock, offset, uint64_t(run), kSortInBlock / 2);
  for (int i = threadIdx.x; i < kSortInBlock; i += kThreads) keys[i] = list[i];
}

// ... the large distances go through global memory, one pair per thread ...
__global__ void __launch_bounds__(kThreads)
    exchange_pairs(uint64_t* lists, int64_t length, int64_t run, int64_t stride) {
  const int64_t pair = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t a = 2 * pair - (pair & (stride - 1)), b = a + stride;
  const bool descending = (a & (length - 1) & run) == 0;
  const uint64_t first = lists[a], second = lists[b];
  if ((first < second) == descending) {
    lists[a] = second;
    lists[b] = first;
  }
}

// ... and the sorted keys become places of the row.
__global__ void __launch_bounds__(kThreads) write_rows(MergeParams p, const uint64_t* lists, int64_t length) {
  const int64_t blocks_per_row = (p.width + kThreads - 1) / kThreads;
  const int64_t row = blockIdx.x / blocks_per_row;
  const int64_t place = blockIdx.x % blocks_per_row * kThreads + threadIdx.x;
  const uint64_t* list = lists + row * length;
  if (place < p.width) write_place(p, row, place, place < p.k ? list[place] : kNothing);
  if (place == 0) restart_row(p, row, list[p.k - 1]);
}

}  // namespace

void merge(Launcher& launch, const MergeParams& p, uint64_t* lists) {
  const int64_t length = sorting_list_length(p.k);
  if (length == 0) {
    launch(merge_rows, p.rows, p);
    return;
  }
  launch(collect_rows, p.rows, p, lists, length);
  const int64_t blocks = p.rows * length / kSortInBlock;
  launch(sort_blocks, blocks, lists, length, int64_t(kSortInBlock));
  for (int64_t run = 2 * kSortInBlock; run <= length; run *= 2) {
    for (int64_t stride = run / 2; stride >= kSortInBlock; stride /= 2)
      launch(exchange_pairs, p.rows * length / (2 * kThreads), lists, length, run, stride);
    launch(sort_blocks, blocks, lists, length, run);
  }
  launch(write_rows, p.rows * ceil_div(p.width, kThreads), p, lists, length);
}

}  // namespace fastret::cuda
