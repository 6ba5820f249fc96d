#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <tuple>

#include "kernels/cpu/kernels.h"
#include "ops/check.h"
#include "ops/parallel.h"

namespace fastret::ops {

std::tuple<Tensor, Tensor> select_k_cpu(const Tensor& values, int64_t k, bool largest) {
  STD_TORCH_CHECK(values.dim() == 2, "select_k: values must have 2 axes, got ", shape_of(values));
  STD_TORCH_CHECK(values.size(1) < (int64_t(1) << 32), "select_k: a row holds fewer than 2^32 columns, got ",
                  shape_of(values));
  check_k("select_k", k);
  const Tensor v = with_contiguous_rows(values);
  Tensor selected = torch::stable::new_empty(v, {v.size(0), k});
  Tensor columns = torch::stable::new_empty(v, {v.size(0), k}, ScalarType::Long);
  cpu::select_k(
      {rows_of("select_k", v), k, largest, selected.mutable_data_ptr(), columns.mutable_data_ptr<int64_t>()},
      TorchThreads(v.numel()));
  return {selected, columns};
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("select_k", TORCH_BOX(&select_k_cpu));
}

}  // namespace fastret::ops
