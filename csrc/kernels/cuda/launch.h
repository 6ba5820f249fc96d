// Queues kernels on one stream and remembers the first error, so that a sequence of launches is checked once.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <utility>

#include "kernels/cuda/tiles.h"

namespace fastret::cuda {

class Launcher {
 public:
  explicit Launcher(cudaStream_t stream) : stream_(stream) {}

  template <class... Parameters, class... Arguments>
  void operator()(void (*kernel)(Parameters...), int64_t blocks, Arguments&&... arguments) {
    with_shared(0, kernel, blocks, std::forward<Arguments>(arguments)...);
  }

  // With so many bytes of shared memory (tensor_core.cuh) beside what the kernel declares.
  template <class... Parameters, class... Arguments>
  void with_shared(int shared_bytes, void (*kernel)(Parameters...), int64_t blocks,
                   Arguments&&... arguments) {
    if (error_ != cudaSuccess || blocks == 0) return;
    if (blocks > INT32_MAX) {
      error_ = cudaErrorInvalidConfiguration;
      return;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(kThreads);
    config.dynamicSmemBytes = size_t(shared_bytes);
    config.stream = stream_;
    if (shared_bytes > 0)
      error_ = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
    if (error_ == cudaSuccess)
      error_ = cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
  }

  // For launches of another shape: `queue` is given the stream, and its error counts as one of these.
  template <class Queue>
  void by(Queue&& queue) {
    if (error_ == cudaSuccess) error_ = queue(stream_);
  }

  void zero(void* data, int64_t bytes) {
    if (error_ == cudaSuccess && bytes > 0)
      error_ = cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), stream_);
  }

  // Also: the runtime forgets the error, which the next call would else be blamed for.
  cudaError_t error() const {
    if (error_ != cudaSuccess) cudaGetLastError();
    return error_;
  }

 private:
  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Hands out consecutive 16-byte aligned pieces of a workspace; with a null base it only adds up their sizes.
class Workspace {
 public:
  explicit Workspace(void* base) : base_(static_cast<char*>(base)) {}

  template <class T>
  T* take(int64_t count) {
    char* piece = base_ ? base_ + bytes_ : nullptr;
    bytes_ += ceil_div(count * int64_t(sizeof(T)), 16) * 16;
    return reinterpret_cast<T*>(piece);
  }

  int64_t bytes() const { return bytes_; }

 private:
  char* base_;
  int64_t bytes_ = 0;
};

}  // namespace fastret::cuda
