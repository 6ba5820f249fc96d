#include <torch/csrc/stable/library.h>

#include "kernels/cuda/kernels.h"
#include "ops/cuda_stream.h"

namespace fastret::ops {

Tensor pair_scores_cuda(const Tensor& queries, const Tensor& keys, const Tensor& ids, int64_t metric) {
  check_pair_ids("pair_scores", queries, keys, ids);
  const torch::stable::accelerator::DeviceGuard guard(queries.get_device_index());
  const Tensor q = with_contiguous_rows(queries), x = with_contiguous_rows(keys);
  const Tensor pairs = torch::stable::contiguous(ids);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), pairs.size(1)}, ScalarType::Float);
  STD_CUDA_CHECK(cuda::pair_scores(
      {rows_of("pair_scores", q), rows_of("pair_scores", x), pairs.const_data_ptr<int64_t>(), pairs.size(1),
       metric_of("pair_scores", metric), scores.mutable_data_ptr<float>()},
      current_stream(q)));
  return scores;
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CUDA, m) {
  m.impl("pair_scores", TORCH_BOX(&pair_scores_cuda));
}

}  // namespace fastret::ops
