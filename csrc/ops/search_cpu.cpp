#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <tuple>

#include "kernels/cpu/kernels.h"
#include "ops/check.h"
#include "ops/parallel.h"

namespace fastret::ops {

std::tuple<Tensor, Tensor> search_cpu(const Tensor& queries, const Tensor& keys, int64_t k, int64_t metric) {
  check_pair("search", queries, keys, 2);
  check_k("search", k);
  const Tensor q = with_contiguous_rows(queries), x = with_contiguous_rows(keys);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Float);
  Tensor ids = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Long);
  cpu::search({rows_of("search", q), rows_of("search", x), metric_of("search", metric), k,
               scores.mutable_data_ptr<float>(), ids.mutable_data_ptr<int64_t>()},
              torch_threads(q.size(0) * x.numel()));
  return {scores, ids};
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("search", TORCH_BOX(&search_cpu));
}

}  // namespace fastret::ops
