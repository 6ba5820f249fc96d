// The last step of a selection whose k keys fit one block's shared memory.
#pragma once
#include "kernels/cuda/block_select.cuh"
#include "kernels/cuda/ranked_rows.cuh"

namespace fastret::cuda {

// Sorts the first `listed` keys of `list` and writes the k best as the row's result.
__device__ __forceinline__ void write_sorted(const SelectKParams& p, int64_t row,
                                             uint64_t (&list)[kSortInBlock], uint32_t listed) {
  __syncthreads();
  sort_list(list, listed);
  const RankedRows rows(p);
  for (int64_t place = threadIdx.x; place < p.k; place += kThreads)
    rows.write(row, place, place < listed ? list[place] : kNothing);
}

}  // namespace fastret::cuda
