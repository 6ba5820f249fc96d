#include <torch/csrc/stable/library.h>

#include <tuple>

#include "kernels/cuda/kernels.h"
#include "ops/cuda_stream.h"

namespace fastret::ops {

std::tuple<Tensor, Tensor> select_k_cuda(const Tensor& values, int64_t k, bool largest) {
  STD_TORCH_CHECK(values.dim() == 2, "select_k: values must have 2 axes, got ", shape_of(values));
  STD_TORCH_CHECK(values.size(1) < (int64_t(1) << 32), "select_k: a row holds fewer than 2^32 columns, got ",
                  shape_of(values));
  check_k("select_k", k);
  const torch::stable::accelerator::DeviceGuard guard(values.get_device_index());
  const Tensor v = with_contiguous_rows(values);
  Tensor selected = torch::stable::new_empty(v, {v.size(0), k});
  Tensor columns = torch::stable::new_empty(v, {v.size(0), k}, ScalarType::Long);
  const SelectKParams params = {rows_of("select_k", v), k, largest, selected.mutable_data_ptr(),
                                columns.mutable_data_ptr<int64_t>()};
  const Tensor workspace = allocate_workspace(v, cuda::select_k_workspace_bytes(params));
  STD_CUDA_CHECK(cuda::select_k(params, workspace.mutable_data_ptr(), current_stream(v)));
  return {selected, columns};
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CUDA, m) {
  m.impl("select_k", TORCH_BOX(&select_k_cuda));
}

}  // namespace fastret::ops
