// Elements of the three storage types, widened exactly and rounded to nearest even.
#pragma once
#include <cuda_runtime.h>

#include "kernels/half.h"
#include "kernels/params.h"

namespace fastret::cuda {

__device__ __forceinline__ float load_element(const void* data, DType dtype, int64_t index) {
  if (dtype == DType::f32) return static_cast<const float*>(data)[index];
  const uint16_t bits = static_cast<const uint16_t*>(data)[index];
  return dtype == DType::bf16 ? widen_bf16(bits) : widen_f16(bits);
}

__device__ __forceinline__ void store_element(void* data, DType dtype, int64_t index, float value) {
  if (dtype == DType::f32)
    static_cast<float*>(data)[index] = value;
  else
    static_cast<uint16_t*>(data)[index] = dtype == DType::bf16 ? round_to_bf16(value) : round_to_f16(value);
}

FASTRET_HOST_DEVICE const void* element_address(const void* data, DType dtype, int64_t index) {
  return static_cast<const char*>(data) + index * (dtype == DType::f32 ? 4 : 2);
}

}  // namespace fastret::cuda
