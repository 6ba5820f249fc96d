// Sorting of long lists of keys in global memory.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace fastret::cuda {

// Sorts `keys`, larger first, by their bits [first_bit, end_bit); keys that agree there keep their order.
// `sorted` receives the one of `keys` and `spare`, of the same size, that then holds them.
cudaError_t sort_keys(uint64_t* keys, uint64_t* spare, int64_t count, int first_bit, int end_bit,
                      void* workspace, int64_t workspace_bytes, cudaStream_t stream, const uint64_t*& sorted);
int64_t sort_keys_workspace_bytes(int64_t count);

}  // namespace fastret::cuda
