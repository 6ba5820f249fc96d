// The last step of a selection whose k keys fit one block's shared memory.
#pragma once
#include "kernels/cuda/block_select.cuh"
#include "kernels/cuda/ranked_rows.cuh"

namespace fastret::cuda {

// Sorts the first `listed` keys of `list` and writes the k best as the row's result.
__device__ __forceinline__ void write_sorted(const SelectKParams& p, int64_t row,
                                             uint64_t (&list)[kSortInBlock], uint32_t listed) {
  const uint32_t length = uint32_t(power_of_two_from(listed));
  for (uint32_t i = listed + threadIdx.x; i < length; i += kThreads) list[i] = kNothing;
  __syncthreads();
  bitonic_sort(list, length, 0);
  const RankedRows rows(p);
  for (int64_t place = threadIdx.x; place < p.k; place += kThreads)
    rows.write(row, place, place < listed ? list[place] : kNothing);
}

}  // namespace fastret::cuda
