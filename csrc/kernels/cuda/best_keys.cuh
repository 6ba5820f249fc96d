// The k best of each row's candidates, in order: the last step of a search and of a selection. A Result has
// places() for each row, which write(row, place, key) receives, kNothing where the row has no more;
// slice(first, count) is the result of some rows.
#pragma once
#include "kernels/cuda/block_select.cuh"
#include "kernels/cuda/key_lists.cuh"

namespace fastret::cuda {

// Sorts the first `listed` keys of `list`, which the block has just written, into a row's places.
template <class Result>
__device__ __forceinline__ void write_sorted(uint64_t (&list)[kSortInBlock], uint32_t listed,
                                             const Result& result, int64_t row) {
  __syncthreads();
  sort_list(list, listed);
  for (int64_t place = threadIdx.x; place < result.places(); place += kThreads)
    result.write(row, place, place < listed ? list[place] : kNothing);
}

// One block per row, for k <= kSortInBlock.
template <class Result>
__global__ void __launch_bounds__(kThreads) write_best(KeyRows rows, uint32_t k, Result result) {
  __shared__ SelectionState state;
  __shared__ uint64_t list[kSortInBlock];
  const int64_t row = blockIdx.x;
  const uint64_t* keys = rows.keys + row * rows.capacity;
  uint32_t listed = rows.counts[row];
  // Selecting costs about as much as sorting a few keys.
  if (listed <= kThreads || listed <= k) {
    for (uint32_t i = threadIdx.x; i < listed; i += kThreads) list[i] = keys[i];
  } else {
    listed = select_largest([&](int64_t i) { return keys[i]; }, listed, k, state, list);
  }
  write_sorted(list, listed, result, row);
}

// `buffers` of lists of rows.capacity keys: needed, and the keys overwritten, only for k > kSortInBlock.
template <class Result>
void write_best_keys(Launcher& launch, const KeyRows& rows, int64_t num_rows, int64_t k, int64_t positions,
                     const SortBuffers& buffers, const Result& result) {
  if (k <= kSortInBlock) {
    launch(write_best<Result>, num_rows, rows, uint32_t(k), result);
    return;
  }
  for (int64_t first = 0; first < num_rows; first += buffers.rows) {
    const KeyLists lists(std::min(buffers.rows, num_rows - first), rows.capacity, positions);
    const KeyRows chunk = rows.from(first);
    list_key_rows(launch, chunk, lists, buffers.keys);
    write_sorted_lists(launch, lists, buffers, chunk.keys, 0, result.slice(first, lists.rows));
  }
}

}  // namespace fastret::cuda
