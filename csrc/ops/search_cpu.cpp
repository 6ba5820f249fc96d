#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <tuple>

#include "kernels/cpu/kernels.h"
#include "ops/packed_keys.h"
#include "ops/parallel.h"
#include "ops/tensor_of.h"

namespace fastret::ops {

using OptionalTensor = std::optional<Tensor>;

std::tuple<Tensor, Tensor, Tensor, Tensor> explained_search_cpu(
    const Tensor& queries, const Tensor& keys, int64_t k, int64_t metric, int64_t first_pass,
    const OptionalTensor& panels, const OptionalTensor& facts, const OptionalTensor& frame,
    bool has_unbounded, const OptionalTensor& axes, const OptionalTensor& head_residuals,
    const OptionalTensor& tails, double defect, const OptionalTensor& allowed, const OptionalTensor& excluded,
    const OptionalTensor& query_labels, const OptionalTensor& key_labels, const OptionalTensor& ceilings) {
  check_pair("search", queries, keys, 2);
  check_k("search", k);
  if (first_pass != -1) first_pass_of("search", first_pass);
  auto packed = packed_keys_of("search", keys, first_pass,
                               {panels, facts, frame, has_unbounded, axes, head_residuals, tails, defect});
  const Tensor q = with_contiguous_rows(queries), x = with_contiguous_rows(keys);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Float);
  Tensor ids = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Long);
  Tensor rescored = torch::stable::new_empty(q, {q.size(0)}, ScalarType::Long);
  Tensor passes = torch::stable::new_empty(q, {q.size(0)}, ScalarType::Long);
  SearchParams params{rows_of("search", q),
                      rows_of("search", x),
                      metric_of("search", metric),
                      k,
                      scores.mutable_data_ptr<float>(),
                      ids.mutable_data_ptr<int64_t>(),
                      filter_of("search", q.size(0), x.size(0), allowed, excluded, query_labels, key_labels),
                      vector_of<float>("search", "ceilings", ceilings, q.size(0))};
  params.packed = keys_of(packed);
  params.first_pass = int(first_pass);
  params.rescored = rescored.mutable_data_ptr<int64_t>();
  params.passes = passes.mutable_data_ptr<int64_t>();
  cpu::search(params, TorchThreads(q.size(0) * x.numel()));
  return {scores, ids, rescored, passes};
}

std::tuple<Tensor, Tensor> search_cpu(const Tensor& queries, const Tensor& keys, int64_t k, int64_t metric,
                                      const OptionalTensor& allowed, const OptionalTensor& excluded,
                                      const OptionalTensor& query_labels, const OptionalTensor& key_labels,
                                      const OptionalTensor& ceilings) {
  const auto [scores, ids, rescored, passes] =
      explained_search_cpu(queries, keys, k, metric, -1, {}, {}, {}, true, {}, {}, {}, 0, allowed, excluded,
                           query_labels, key_labels, ceilings);
  return {scores, ids};
}

std::tuple<Tensor, Tensor, Tensor> range_search_cpu(
    const Tensor& queries, const Tensor& keys, double threshold, int64_t metric, int64_t first_pass,
    const OptionalTensor& panels, const OptionalTensor& facts, const OptionalTensor& frame,
    bool has_unbounded, const OptionalTensor& axes, const OptionalTensor& head_residuals,
    const OptionalTensor& tails, double defect, const OptionalTensor& allowed,
    const OptionalTensor& excluded) {
  check_pair("range_search", queries, keys, 2);
  if (first_pass != -1) first_pass_of("range_search", first_pass);
  auto packed = packed_keys_of("range_search", keys, first_pass,
                               {panels, facts, frame, has_unbounded, axes, head_residuals, tails, defect});
  const Tensor q = with_contiguous_rows(queries), x = with_contiguous_rows(keys);
  RangeSearchParams params{rows_of("range_search", q), rows_of("range_search", x),
                           metric_of("range_search", metric), float(threshold),
                           filter_of("range_search", q.size(0), x.size(0), allowed, excluded)};
  params.packed = keys_of(packed);
  params.first_pass = int(first_pass);
  const cpu::RangeFound found = cpu::range_search(params, TorchThreads(q.size(0) * x.numel()));
  return {tensor_of(found.lims, q), tensor_of(found.scores, q), tensor_of(found.ids, q)};
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("search", TORCH_BOX(&search_cpu));
  m.impl("explained_search", TORCH_BOX(&explained_search_cpu));
  m.impl("range_search", TORCH_BOX(&range_search_cpu));
}

}  // namespace fastret::ops
