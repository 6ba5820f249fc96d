// The arguments of unit_rows and its backward, checked, as parameters of the kernels: what CPU and CUDA
// share.
#pragma once
#include <torch/csrc/stable/ops.h>

#include <optional>
#include <tuple>

#include "ops/check.h"

namespace fastret::ops {

// [..., D] as [R, D]: a view where rows lie at equal distances.
inline Tensor as_matrix(const Tensor& rows) {
  return with_contiguous_rows(rows.dim() == 2 ? rows : torch::stable::flatten(rows, 0, -2));
}

template <class Kernel>
std::tuple<Tensor, Tensor> run_unit_rows(const Tensor& rows, std::optional<ScalarType> out_dtype,
                                         Kernel&& kernel) {
  STD_TORCH_CHECK(rows.dim() >= 2, "unit_rows: rows must have 2 or more axes, got ", shape_of(rows));
  const ScalarType type = out_dtype.value_or(rows.scalar_type());
  const DType out = dtype_of("unit_rows", type);
  const Tensor r = as_matrix(rows);
  Tensor units = torch::stable::new_empty(rows, rows.sizes(), type);
  Tensor inverse_norms =
      torch::stable::new_empty(rows, rows.sizes().slice(0, size_t(rows.dim() - 1)), ScalarType::Double);
  kernel(UnitRowsParams{rows_of("unit_rows", r), units.mutable_data_ptr(), out,
                        inverse_norms.mutable_data_ptr<double>()});
  return {units, inverse_norms};
}

template <class Kernel>
Tensor run_unit_rows_backward(const Tensor& grad_units, const Tensor& rows, const Tensor& inverse_norms,
                              Kernel&& kernel) {
  STD_TORCH_CHECK(rows.dim() >= 2 && shape_of(grad_units) == shape_of(rows),
                  "unit_rows_backward: grad_units and rows must have one shape of 2 or more axes, got ",
                  shape_of(grad_units), " and ", shape_of(rows));
  STD_TORCH_CHECK(grad_units.device() == rows.device() && inverse_norms.device() == rows.device(),
                  "unit_rows_backward: all tensors must be on one device");
  const Tensor g = as_matrix(grad_units), r = as_matrix(rows),
               inverse = torch::stable::contiguous(inverse_norms);
  STD_TORCH_CHECK(inverse.scalar_type() == ScalarType::Double && inverse.numel() == r.size(0),
                  "unit_rows_backward: inverse_norms must be one float64 per row, got ",
                  shape_of(inverse_norms));
  Tensor grad_rows = torch::stable::new_empty(rows, rows.sizes());
  kernel(UnitRowsBackwardParams{rows_of("unit_rows_backward", g), rows_of("unit_rows_backward", r),
                                inverse.const_data_ptr<double>(), grad_rows.mutable_data_ptr()});
  return grad_rows;
}

}  // namespace fastret::ops
