#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <optional>
#include <tuple>
#include <vector>

#include "kernels/cpu/list_search.h"
#include "ops/check.h"
#include "ops/parallel.h"
#include "ops/tensor_of.h"

namespace fastret::ops {

using OptionalTensor = std::optional<Tensor>;

// Inverted lists and what visits them, checked. Tensors are made contiguous and live as long as what points
// into them.
class ListArguments {
 public:
  ListArguments(const char* op, const Tensor& queries, const Tensor& codes, const Tensor& ids,
                const Tensor& starts, const Tensor& sizes, int64_t codec, const OptionalTensor& ranges,
                const OptionalTensor& centroids, const OptionalTensor& allowed)
      : op_(op) {
    STD_TORCH_CHECK(queries.dim() == 2 && queries.scalar_type() == ScalarType::Float, op,
                    ": queries must be [Q, D] float32, got ", shape_of(queries));
    STD_TORCH_CHECK(codec >= 0 && codec < kNumCodecs, op, ": codec must be from 0 to ", kNumCodecs - 1,
                    ", got ", codec);
    const int64_t dim = queries.size(1);
    const int64_t num_lists = starts.dim() == 1 ? starts.size(0) : 0;
    const int64_t bytes = code_bytes(Codec(codec), dim);
    capacity_ = codes.dim() == 2 ? codes.size(0) : 0;
    // Places of candidates have 32 bits.
    STD_TORCH_CHECK(capacity_ < (int64_t(1) << 32) - kPanelRows, op, ": at most 2^32 - 33 rows fit, got ",
                    capacity_);
    const auto* codes_data = data<uint8_t>("codes", codes, {capacity_, bytes}, ScalarType::Byte);
    const auto* ids_data = data<int64_t>("ids", ids, {capacity_}, ScalarType::Long);
    const auto* starts_data = data<int64_t>("starts", starts, {num_lists}, ScalarType::Long);
    const auto* sizes_data = data<int64_t>("sizes", sizes, {num_lists}, ScalarType::Long);
    STD_TORCH_CHECK(!has_ranges(Codec(codec)) || ranges, op, ": codec ", codec, " needs codec_params");
    lists = {codes_data,
             Codec(codec),
             dim,
             ranges ? data<float>("codec_params", *ranges, {2, dim}, ScalarType::Float) : nullptr,
             ids_data,
             starts_data,
             sizes_data,
             num_lists,
             centroids ? data<float>("centroids", *centroids, {num_lists, dim}, ScalarType::Float) : nullptr,
             allowed ? data<bool>("allowed", *allowed, {capacity_}, ScalarType::Bool) : nullptr};
  }
  ListArguments(const ListArguments&) = delete;
  ListArguments& operator=(const ListArguments&) = delete;

  void visit(const Tensor& of_queries, int64_t num_queries, int64_t max_rows) {
    const int64_t per_query = of_queries.dim() == 2 ? of_queries.size(1) : 0;
    STD_TORCH_CHECK(max_rows >= 0, op_, ": max_rows must not be negative, got ", max_rows);
    probes = {data<int64_t>("probes", of_queries, {num_queries, per_query}, ScalarType::Long), per_query,
              max_rows};
    for (int64_t i = 0; i < num_queries * per_query; ++i) {
      const int64_t list = probes.lists[i];
      STD_TORCH_CHECK(list < lists.num_lists, op_, ": probes must be below ", lists.num_lists, ", got ",
                      list);
      if (list < 0) continue;
      const int64_t start = lists.starts[list], size = lists.sizes[list];
      STD_TORCH_CHECK(start >= 0 && size >= 0 && size <= capacity_ - start, op_, ": list ", list,
                      " must lie within ", capacity_, " rows, got ", size, " from ", start);
      rows += size;
    }
  }

  InvertedLists lists;
  Probes probes{};
  int64_t rows = 0;  // that the queries visit, together

 private:
  static constexpr int64_t kPanelRows = kPanelKeys;

  template <class T>
  const T* data(const char* name, const Tensor& tensor, std::initializer_list<int64_t> shape,
                ScalarType type) {
    bool fits = tensor.dim() == int64_t(shape.size()) && tensor.scalar_type() == type;
    int64_t axis = 0;
    for (const int64_t size : shape) fits = fits && tensor.size(axis++) == size;
    if (!fits) refuse(name, tensor, shape, type);
    held_.push_back(tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor));
    return static_cast<const T*>(held_.back().const_data_ptr());
  }

  void refuse(const char* name, const Tensor& tensor, std::initializer_list<int64_t> shape,
              ScalarType type) const {
    std::string wanted;
    for (const int64_t size : shape) wanted += (wanted.empty() ? "" : ", ") + std::to_string(size);
    STD_TORCH_CHECK(false, op_, ": ", name, " must be [", wanted, "] of scalar type ", int(type), ", got ",
                    shape_of(tensor), " of ", int(tensor.scalar_type()));
  }

  const char* op_;
  int64_t capacity_ = 0;
  std::vector<Tensor> held_;
};

std::tuple<Tensor, Tensor> search_lists_cpu(const Tensor& queries, const Tensor& codes, const Tensor& ids,
                                            const Tensor& starts, const Tensor& sizes, const Tensor& probes,
                                            int64_t k, int64_t metric, int64_t codec,
                                            const OptionalTensor& codec_params,
                                            const OptionalTensor& centroids, const OptionalTensor& allowed,
                                            int64_t max_rows) {
  const char* op = "search_lists";
  check_k(op, k);
  ListArguments a(op, queries, codes, ids, starts, sizes, codec, codec_params, centroids, allowed);
  a.visit(probes, queries.size(0), max_rows);
  const Tensor q = with_contiguous_rows(queries);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Float);
  Tensor positions = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Long);
  cpu::search_lists({rows_of(op, q), a.lists, a.probes, metric_of(op, metric), k,
                     scores.mutable_data_ptr<float>(), positions.mutable_data_ptr<int64_t>()},
                    TorchThreads(a.rows * q.size(1)));
  return {scores, positions};
}

std::tuple<Tensor, Tensor, Tensor> range_search_lists_cpu(
    const Tensor& queries, const Tensor& codes, const Tensor& ids, const Tensor& starts, const Tensor& sizes,
    const Tensor& probes, double threshold, int64_t metric, int64_t codec, const OptionalTensor& codec_params,
    const OptionalTensor& centroids, const OptionalTensor& allowed, int64_t max_rows) {
  const char* op = "range_search_lists";
  ListArguments a(op, queries, codes, ids, starts, sizes, codec, codec_params, centroids, allowed);
  a.visit(probes, queries.size(0), max_rows);
  const Tensor q = with_contiguous_rows(queries);
  const cpu::RangeFound found =
      cpu::range_search_lists({rows_of(op, q), a.lists, a.probes, metric_of(op, metric), float(threshold)},
                              TorchThreads(a.rows * q.size(1)));
  return {tensor_of(found.lims, q), tensor_of(found.scores, q), tensor_of(found.ids, q)};
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("search_lists", TORCH_BOX(&search_lists_cpu));
  m.impl("range_search_lists", TORCH_BOX(&range_search_lists_cpu));
}

}  // namespace fastret::ops
