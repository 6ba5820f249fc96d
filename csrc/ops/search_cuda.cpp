#include <torch/csrc/stable/library.h>

#include <tuple>

#include "kernels/cuda/kernels.h"
#include "ops/cuda_stream.h"
#include "ops/packed_keys.h"
#include "ops/search_kernel.h"

namespace fastret::ops {

std::tuple<Tensor, Tensor> search_cuda(const Tensor& queries, const Tensor& keys, int64_t k, int64_t metric,
                                       const std::optional<Tensor>& allowed,
                                       const std::optional<Tensor>& excluded,
                                       const std::optional<Tensor>& query_labels,
                                       const std::optional<Tensor>& key_labels,
                                       const std::optional<Tensor>& ceilings) {
  check_pair("search", queries, keys, 2);
  check_k("search", k);
  STD_TORCH_CHECK(keys.size(0) < cuda::kMostKeys, "search: on a CUDA device keys must be fewer than ",
                  cuda::kMostKeys, ", got ", shape_of(keys));
  check_beside("search", queries, "allowed", allowed);
  check_beside("search", queries, "excluded", excluded);
  check_beside("search", queries, "query_labels", query_labels);
  check_beside("search", queries, "key_labels", key_labels);
  check_beside("search", queries, "ceilings", ceilings);
  const torch::stable::accelerator::DeviceGuard guard(queries.get_device_index());
  check_search_kernel("search");
  const Tensor q = with_contiguous_rows(queries), x = with_contiguous_rows(keys);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Float);
  Tensor ids = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Long);
  const SearchParams params = {
      rows_of("search", q),
      rows_of("search", x),
      metric_of("search", metric),
      k,
      scores.mutable_data_ptr<float>(),
      ids.mutable_data_ptr<int64_t>(),
      filter_of("search", q.size(0), x.size(0), allowed, excluded, query_labels, key_labels),
      vector_of<float>("search", "ceilings", ceilings, q.size(0))};
  const Tensor workspace = allocate_workspace(q, cuda::search_workspace_bytes(params, false));
  STD_CUDA_CHECK(cuda::search(params, nullptr, workspace.mutable_data_ptr(), current_stream(q)));
  return {scores, ids};
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CUDA, m) {
  m.impl("search", TORCH_BOX(&search_cuda));
}

}  // namespace fastret::ops
