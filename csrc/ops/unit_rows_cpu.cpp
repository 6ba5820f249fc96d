#include "ops/unit_rows.h"

#include <torch/csrc/stable/library.h>

#include "kernels/cpu/kernels.h"
#include "ops/parallel.h"

namespace fastret::ops {

std::tuple<Tensor, Tensor> unit_rows_cpu(const Tensor& rows, std::optional<ScalarType> out_dtype) {
  return run_unit_rows(rows, out_dtype, [&](const UnitRowsParams& params) {
    cpu::unit_rows(params, TorchThreads(rows.numel()));
  });
}

Tensor unit_rows_backward_cpu(const Tensor& grad_units, const Tensor& rows, const Tensor& inverse_norms) {
  return run_unit_rows_backward(grad_units, rows, inverse_norms, [&](const UnitRowsBackwardParams& params) {
    cpu::unit_rows_backward(params, TorchThreads(rows.numel()));
  });
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("unit_rows", TORCH_BOX(&unit_rows_cpu));
  m.impl("unit_rows_backward", TORCH_BOX(&unit_rows_backward_cpu));
}

}  // namespace fastret::ops
