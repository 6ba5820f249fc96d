#include "kernels/cpu/extra_scores.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "ops/check.h"
#include "ops/parallel.h"

namespace fastret::ops {

Tensor extra_scores_cpu(const Tensor& queries, const Tensor& keys, int64_t metric) {
  check_pair("extra_scores", queries, keys, 2);
  STD_TORCH_CHECK(queries.scalar_type() == ScalarType::Float && keys.scalar_type() == ScalarType::Float,
                  "extra_scores: queries and keys must be float32, got scalar types ",
                  int(queries.scalar_type()), " and ", int(keys.scalar_type()));
  STD_TORCH_CHECK(metric >= 0 && metric < kExtraMetrics, "extra_scores: metric must be in [0, ",
                  kExtraMetrics, "), got ", metric);
  const Tensor q = with_contiguous_rows(queries), x = with_contiguous_rows(keys);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), x.size(0)});
  cpu::extra_scores({rows_of("extra_scores", q), rows_of("extra_scores", x), ExtraMetric(metric),
                     scores.mutable_data_ptr<float>()},
                    TorchThreads(scores.numel() * q.size(1)));
  return scores;
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("extra_scores", TORCH_BOX(&extra_scores_cpu));
}

}  // namespace fastret::ops
