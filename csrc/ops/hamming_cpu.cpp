#include "kernels/cpu/hamming.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <tuple>

#include "ops/packed_keys.h"
#include "ops/parallel.h"
#include "ops/tensor_of.h"

namespace fastret::ops {
namespace {

using OptionalTensor = std::optional<Tensor>;

void check_codes(const char* op, const char* name, const Tensor& codes) {
  STD_TORCH_CHECK(codes.dim() == 2 && codes.scalar_type() == ScalarType::Byte, op, ": ", name,
                  " must be 2-D uint8, got ", shape_of(codes));
}

// The tensors of a search, which its parameters point into.
struct HammingArguments {
  Tensor queries, keys;
  OptionalTensor allowed, ids, starts, sizes, probes;
  ProbedLists lists{};

  HammingArguments(const char* op, const Tensor& q, const Tensor& x, const OptionalTensor& allowed_,
                   const OptionalTensor& ids_, const OptionalTensor& starts_, const OptionalTensor& sizes_,
                   const OptionalTensor& probes_)
      : queries(torch::stable::contiguous(q)),
        keys(torch::stable::contiguous(x)),
        allowed(allowed_),
        ids(ids_),
        starts(starts_),
        sizes(sizes_),
        probes(probes_) {
    check_codes(op, "queries", q);
    check_codes(op, "keys", x);
    STD_TORCH_CHECK(q.size(1) == x.size(1), op, ": queries and keys must share B, got ", shape_of(q), " and ",
                    shape_of(x));
    STD_TORCH_CHECK(q.size(1) < (int64_t(1) << 27), op, ": B must be below 2^27, got ", q.size(1));
    if (probes) read_lists(op);
  }

  HammingParams params(const char* op) const {
    HammingParams params{queries.const_data_ptr<uint8_t>(), queries.size(0), keys.const_data_ptr<uint8_t>(),
                         keys.size(0), keys.size(1)};
    params.allowed = filter_of(op, queries.size(0), keys.size(0), allowed, {}).allowed;
    if (probes) params.lists = &lists;
    return params;
  }

 private:
  void read_lists(const char* op) {
    STD_TORCH_CHECK(ids && starts && sizes, op, ": probes need ids, starts and sizes");
    STD_TORCH_CHECK(
        probes->dim() == 2 && probes->size(0) == queries.size(0) && probes->scalar_type() == ScalarType::Long,
        op, ": probes must be [", queries.size(0), ", P] int64, got ", shape_of(*probes));
    probes = torch::stable::contiguous(*probes);
    const int64_t num_lists = starts->numel();
    lists = {vector_of<int64_t>(op, "ids", ids, keys.size(0)),
             vector_of<int64_t>(op, "starts", starts, num_lists),
             vector_of<int64_t>(op, "sizes", sizes, num_lists),
             num_lists,
             probes->const_data_ptr<int64_t>(),
             probes->size(1)};
    for (int64_t l = 0; l < num_lists; ++l) check_list(op, l, lists.starts[l], lists.sizes[l], keys.size(0));
    for (int64_t i = 0; i < probes->numel(); ++i)
      STD_TORCH_CHECK(lists.probes[i] < num_lists, op, ": probes must be below ", num_lists, ", got ",
                      lists.probes[i]);
  }
};

}  // namespace

std::tuple<Tensor, Tensor> hamming_search_cpu(const Tensor& queries, const Tensor& keys, int64_t k,
                                              const OptionalTensor& allowed, const OptionalTensor& ids,
                                              const OptionalTensor& starts, const OptionalTensor& sizes,
                                              const OptionalTensor& probes) {
  check_k("hamming_search", k);
  const HammingArguments a("hamming_search", queries, keys, allowed, ids, starts, sizes, probes);
  const int64_t num_queries = queries.size(0);
  Tensor distances = torch::stable::new_empty(queries, {num_queries, k}, ScalarType::Int);
  Tensor found = torch::stable::new_empty(queries, {num_queries, k}, ScalarType::Long);
  cpu::hamming_search(a.params("hamming_search"), k, distances.mutable_data_ptr<int32_t>(),
                      found.mutable_data_ptr<int64_t>(), TorchThreads(num_queries * keys.numel() / 8));
  return {distances, found};
}

std::tuple<Tensor, Tensor, Tensor> hamming_range_search_cpu(const Tensor& queries, const Tensor& keys,
                                                            int64_t radius, const OptionalTensor& allowed,
                                                            const OptionalTensor& ids,
                                                            const OptionalTensor& starts,
                                                            const OptionalTensor& sizes,
                                                            const OptionalTensor& probes) {
  const HammingArguments a("hamming_range_search", queries, keys, allowed, ids, starts, sizes, probes);
  const cpu::HammingFound found = cpu::hamming_range_search(a.params("hamming_range_search"), radius,
                                                            TorchThreads(queries.size(0) * keys.numel() / 8));
  return {tensor_of(found.lims, queries), tensor_of(found.distances, queries), tensor_of(found.ids, queries)};
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("hamming_search", TORCH_BOX(&hamming_search_cpu));
  m.impl("hamming_range_search", TORCH_BOX(&hamming_range_search_cpu));
}

}  // namespace fastret::ops
