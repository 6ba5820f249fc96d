// What kernels found as tensors.
#pragma once
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <vector>

#include "ops/check.h"

namespace fastret::ops {

inline ScalarType type_of(float) {
  return ScalarType::Float;
}
inline ScalarType type_of(int32_t) {
  return ScalarType::Int;
}
inline ScalarType type_of(int64_t) {
  return ScalarType::Long;
}

// Values as a tensor on the device of `like`.
template <class T>
Tensor tensor_of(const std::vector<T>& values, const Tensor& like) {
  Tensor tensor = torch::stable::new_empty(like, {int64_t(values.size())}, type_of(T()));
  std::copy(values.begin(), values.end(), static_cast<T*>(tensor.mutable_data_ptr()));
  return tensor;
}

}  // namespace fastret::ops
