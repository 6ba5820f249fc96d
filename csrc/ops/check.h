// Checks at the op boundary and the wording of their errors: op, rule, what arrived. Python's functions check
// first and raise ValueError or TypeError; these guard direct calls of torch.ops.fastret.
#pragma once
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <optional>
#include <string>

#include "kernels/params.h"

namespace fastret::ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline std::string shape_of(const Tensor& tensor) {
  std::string text = "[";
  for (int64_t d = 0; d < tensor.dim(); ++d) text += (d ? ", " : "") + std::to_string(tensor.size(d));
  return text + "]";
}

inline DType dtype_of(const char* op, ScalarType type) {
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::BFloat16 || type == ScalarType::Half, op,
                  ": dtype must be float32, bfloat16 or float16, got scalar type ", int(type));
  return type == ScalarType::Float ? DType::f32 : type == ScalarType::BFloat16 ? DType::bf16 : DType::f16;
}

inline Metric metric_of(const char* op, int64_t metric) {
  STD_TORCH_CHECK(metric >= 0 && metric <= 2, op, ": metric must be 0 (ip), 1 (cosine) or 2 (l2), got ",
                  metric);
  return Metric(metric);
}

inline void check_k(const char* op, int64_t k) {
  STD_TORCH_CHECK(k >= 0, op, ": k must not be negative, got ", k);
}

// An inverted list must lie within its arena.
inline void check_list(const char* op, int64_t list, int64_t start, int64_t size, int64_t capacity) {
  STD_TORCH_CHECK(start >= 0 && size >= 0 && size <= capacity - start, op, ": list ", list,
                  " must lie within the ", capacity, " rows, got start ", start, " and size ", size);
}

// queries and keys: `axes` axes each, one device, the same D and (3 axes) the same B.
inline void check_pair(const char* op, const Tensor& queries, const Tensor& keys, int64_t axes) {
  STD_TORCH_CHECK(queries.dim() == axes && keys.dim() == axes, op, ": queries and keys must have ", axes,
                  " axes, got ", shape_of(queries), " and ", shape_of(keys));
  STD_TORCH_CHECK(queries.size(axes - 1) == keys.size(axes - 1), op, ": queries and keys must share D, got ",
                  shape_of(queries), " and ", shape_of(keys));
  STD_TORCH_CHECK(axes == 2 || queries.size(0) == keys.size(0), op, ": queries and keys must share B, got ",
                  shape_of(queries), " and ", shape_of(keys));
  STD_TORCH_CHECK(queries.device() == keys.device(), op, ": queries and keys must be on one device");
}

// queries [Q, D], keys [N, D] and the ids [Q, P] of each query's own keys.
inline void check_pair_ids(const char* op, const Tensor& queries, const Tensor& keys, const Tensor& ids) {
  check_pair(op, queries, keys, 2);
  STD_TORCH_CHECK(ids.dim() == 2 && ids.size(0) == queries.size(0) && ids.scalar_type() == ScalarType::Long,
                  op, ": ids must be [", queries.size(0), ", P] int64, got ", shape_of(ids));
  STD_TORCH_CHECK(ids.device() == queries.device(), op, ": ids must be on the device of the queries");
}

// `tensor`, where there is one, must be where the kernels look for it.
inline void check_beside(const char* op, const Tensor& rows, const char* name,
                         const std::optional<Tensor>& tensor) {
  STD_TORCH_CHECK(!tensor || tensor->device() == rows.device(), op, ": ", name,
                  " must be on the device of the other tensors");
}

// The rows of a matrix, or of one matrix of a batch; the elements of a row must be contiguous.
inline Rows rows_of(const char* op, const Tensor& tensor, int64_t batch = 0) {
  const int64_t axes = tensor.dim();
  const int64_t element_bytes = int64_t(tensor.element_size());
  const char* data = static_cast<const char*>(tensor.const_data_ptr());
  if (axes == 3) data += batch * tensor.stride(0) * element_bytes;
  return {data, tensor.size(axes - 2), tensor.size(axes - 1), tensor.stride(axes - 2),
          dtype_of(op, tensor.scalar_type())};
}

// `tensor` itself if the elements of its rows are contiguous, else a contiguous copy.
inline Tensor with_contiguous_rows(const Tensor& tensor) {
  const int64_t last = tensor.dim() - 1;
  return tensor.size(last) <= 1 || tensor.stride(last) == 1 ? tensor : torch::stable::contiguous(tensor);
}

}  // namespace fastret::ops
