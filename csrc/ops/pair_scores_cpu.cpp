#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "kernels/cpu/kernels.h"
#include "ops/check.h"
#include "ops/parallel.h"

namespace fastret::ops {

Tensor pair_scores_cpu(const Tensor& queries, const Tensor& keys, const Tensor& ids, int64_t metric) {
  check_pair_ids("pair_scores", queries, keys, ids);
  const Tensor q = with_contiguous_rows(queries), x = with_contiguous_rows(keys);
  const Tensor pairs = torch::stable::contiguous(ids);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), pairs.size(1)}, ScalarType::Float);
  cpu::pair_scores({rows_of("pair_scores", q), rows_of("pair_scores", x), pairs.const_data_ptr<int64_t>(),
                    pairs.size(1), metric_of("pair_scores", metric), scores.mutable_data_ptr<float>()},
                   TorchThreads(pairs.numel() * q.size(1)));
  return scores;
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("pair_scores", TORCH_BOX(&pair_scores_cpu));
}

}  // namespace fastret::ops
