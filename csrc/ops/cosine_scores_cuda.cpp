#include <torch/csrc/stable/library.h>

#include <optional>

#include "kernels/cuda/kernels.h"
#include "ops/cuda_stream.h"

namespace fastret::ops {

Tensor cosine_scores_cuda(const Tensor& queries, const Tensor& keys, int64_t metric,
                          std::optional<ScalarType> out_dtype) {
  check_pair("cosine_scores", queries, keys, 3);
  const ScalarType type = out_dtype.value_or(ScalarType::Float);
  const DType out = dtype_of("cosine_scores", type);
  const torch::stable::accelerator::DeviceGuard guard(queries.get_device_index());
  const Tensor q = with_contiguous_rows(queries), x = with_contiguous_rows(keys);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), q.size(1), x.size(1)}, type);
  STD_CUDA_CHECK(cuda::pairwise_scores({rows_of("cosine_scores", q), rows_of("cosine_scores", x),
                                        metric_of("cosine_scores", metric), scores.mutable_data_ptr(), out},
                                       {q.size(0), q.stride(0), x.stride(0)}, current_stream(q)));
  return scores;
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CUDA, m) {
  m.impl("cosine_scores", TORCH_BOX(&cosine_scores_cuda));
}

}  // namespace fastret::ops
