#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <optional>

#include "kernels/cpu/kernels.h"
#include "ops/check.h"
#include "ops/parallel.h"

namespace fastret::ops {

Tensor cosine_scores_cpu(const Tensor& queries, const Tensor& keys, int64_t metric,
                         std::optional<ScalarType> out_dtype) {
  check_pair("cosine_scores", queries, keys, 3);
  const ScalarType type = out_dtype.value_or(ScalarType::Float);
  const DType out = dtype_of("cosine_scores", type);
  const Tensor q = with_contiguous_rows(queries), x = with_contiguous_rows(keys);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), q.size(1), x.size(1)}, type);
  const int64_t matrix_bytes = q.size(1) * x.size(1) * int64_t(scores.element_size());
  for (int64_t b = 0; b < q.size(0); ++b)
    cpu::pairwise_scores(
        {rows_of("cosine_scores", q, b), rows_of("cosine_scores", x, b), metric_of("cosine_scores", metric),
         static_cast<char*>(scores.mutable_data_ptr()) + b * matrix_bytes, out},
        TorchThreads(q.size(1) * x.size(1) * x.size(2)));
  return scores;
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("cosine_scores", TORCH_BOX(&cosine_scores_cpu));
}

}  // namespace fastret::ops
