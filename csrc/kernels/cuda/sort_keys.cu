#include "kernels/cuda/sort_keys.cuh"

#include <cub/device/device_radix_sort.cuh>

namespace fastret::cuda {

cudaError_t sort_keys(uint64_t* keys, uint64_t* spare, int64_t count, int first_bit, int end_bit,
                      void* workspace, int64_t workspace_bytes, cudaStream_t stream,
                      const uint64_t*& sorted) {
  cub::DoubleBuffer<uint64_t> buffers(keys, spare);
  size_t bytes = size_t(workspace_bytes);
  const cudaError_t error =
      cub::DeviceRadixSort::SortKeysDescending(workspace, bytes, buffers, count, first_bit, end_bit, stream);
  sorted = buffers.Current();
  return error;
}

int64_t sort_keys_workspace_bytes(int64_t count) {
  cub::DoubleBuffer<uint64_t> buffers(nullptr, nullptr);
  size_t bytes = 0;
  // Without a workspace it only tells the size.
  const cudaError_t error = cub::DeviceRadixSort::SortKeysDescending(nullptr, bytes, buffers, count);
  return error == cudaSuccess ? int64_t(bytes) : 0;
}

}  // namespace fastret::cuda
