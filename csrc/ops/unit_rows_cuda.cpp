#include <torch/csrc/stable/library.h>

#include "kernels/cuda/kernels.h"
#include "ops/cuda_stream.h"
#include "ops/unit_rows.h"

namespace fastret::ops {

std::tuple<Tensor, Tensor> unit_rows_cuda(const Tensor& rows, std::optional<ScalarType> out_dtype) {
  const torch::stable::accelerator::DeviceGuard guard(rows.get_device_index());
  return run_unit_rows(rows, out_dtype, [&](const UnitRowsParams& params) {
    STD_CUDA_CHECK(cuda::unit_rows(params, current_stream(rows)));
  });
}

Tensor unit_rows_backward_cuda(const Tensor& grad_units, const Tensor& rows, const Tensor& inverse_norms) {
  const torch::stable::accelerator::DeviceGuard guard(rows.get_device_index());
  return run_unit_rows_backward(grad_units, rows, inverse_norms, [&](const UnitRowsBackwardParams& params) {
    STD_CUDA_CHECK(cuda::unit_rows_backward(params, current_stream(rows)));
  });
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CUDA, m) {
  m.impl("unit_rows", TORCH_BOX(&unit_rows_cuda));
  m.impl("unit_rows_backward", TORCH_BOX(&unit_rows_backward_cuda));
}

}  // namespace fastret::ops
