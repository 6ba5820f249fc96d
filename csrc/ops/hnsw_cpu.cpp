#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "kernels/cpu/hnsw.h"
#include "ops/packed_keys.h"
#include "ops/parallel.h"
#include "ops/tensor_of.h"

namespace fastret::ops {

namespace {

// Data of a table of the graph.
template <class T>
const T* table_of(const char* op, const char* name, const Tensor& table, int64_t length) {
  constexpr bool narrow = sizeof(T) == sizeof(int32_t);
  STD_TORCH_CHECK(table.dim() == 1 && table.size(0) == length && table.is_contiguous() &&
                      table.scalar_type() == (narrow ? ScalarType::Int : ScalarType::Long),
                  op, ": ", name, " must be [", length, narrow ? "] int32" : "] int64", ", contiguous, got ",
                  shape_of(table));
  return static_cast<const T*>(table.const_data_ptr());
}

cpu::HnswGraph graph_of(const char* op, const Tensor& vectors, const Tensor& offsets,
                        const Tensor& level_starts, const Tensor& neighbors, const Tensor& entry,
                        int64_t metric) {
  STD_TORCH_CHECK(vectors.dim() == 2 && vectors.scalar_type() == ScalarType::Float && vectors.is_contiguous(),
                  op, ": vectors must be [N, D] float32, contiguous, got ", shape_of(vectors));
  const int64_t count = vectors.size(0);
  STD_TORCH_CHECK(count < INT32_MAX, op, ": a graph holds fewer than 2^31 vectors, got ", count);
  STD_TORCH_CHECK(metric_of(op, metric) != Metric::cosine, op, ": metric must be 0 (ip) or 2 (l2), got ",
                  metric);
  STD_TORCH_CHECK(level_starts.dim() == 1 && level_starts.size(0) > 1, op,
                  ": level_starts must be [L + 1] int32, got ", shape_of(level_starts));
  const int64_t num_levels = level_starts.size(0) - 1;
  const int32_t* starts = table_of<int32_t>(op, "level_starts", level_starts, num_levels + 1);
  const int64_t* places = table_of<int64_t>(op, "offsets", offsets, count + 1);
  const int32_t* ids = table_of<int32_t>(op, "neighbors", neighbors, places[count]);
  const int32_t* top = table_of<int32_t>(op, "entry", entry, 2);
  const cpu::HnswGraph graph{static_cast<const float*>(vectors.const_data_ptr()),
                             count,
                             vectors.size(1),
                             Metric(metric),
                             places,
                             starts,
                             num_levels,
                             ids,
                             top[0],
                             top[1]};
  STD_TORCH_CHECK(graph.levels_ascend(), op, ": level_starts must ascend from 0");
  STD_TORCH_CHECK(graph.entry_fits(), op, ": entry must be a vector and its highest level, got ", top[0],
                  " and ", top[1]);
  return graph;
}

cpu::HnswWalk walk_of(const char* op, const cpu::HnswGraph& graph, const Tensor& queries, int64_t ef,
                      bool check_relative_distance, const std::optional<Tensor>& allowed) {
  STD_TORCH_CHECK(
      queries.dim() == 2 && queries.scalar_type() == ScalarType::Float && queries.size(1) == graph.dim, op,
      ": queries must be [Q, ", graph.dim, "] float32, got ", shape_of(queries));
  const KeyFilter filter = filter_of(op, queries.size(0), graph.count, allowed, {});
  return {ef, check_relative_distance, filter.allowed};
}

Tensor counts_of(const cpu::HnswCounts& counts, const Tensor& like) {
  return tensor_of<int64_t>({counts.searches, counts.exhausted, counts.distances, counts.hops}, like);
}

}  // namespace

void hnsw_add_cpu(const Tensor& vectors, int64_t first, const Tensor& levels, const Tensor& offsets,
                  const Tensor& level_starts, int64_t metric, int64_t ef_construction, double prune_headroom,
                  bool keep_max_size_level0, Tensor neighbors, Tensor entry,
                  const std::optional<Tensor>& originals) {
  const char* op = "hnsw_add_";
  cpu::HnswAddParams params{graph_of(op, vectors, offsets, level_starts, neighbors, entry, metric),
                            first,
                            table_of<int32_t>(op, "levels", levels, vectors.size(0)),
                            originals ? static_cast<const float*>(originals->const_data_ptr()) : nullptr,
                            static_cast<int32_t*>(neighbors.mutable_data_ptr()),
                            ef_construction,
                            float(prune_headroom),
                            keep_max_size_level0};
  const cpu::HnswGraph& graph = params.graph;
  STD_TORCH_CHECK(first >= 0 && first <= graph.count && ef_construction > 0, op,
                  ": first must be from 0 to N and ef_construction positive, got ", first, " and ",
                  ef_construction);
  STD_TORCH_CHECK(!originals || (originals->dim() == 2 && originals->size(0) == graph.count - first &&
                                 originals->size(1) == graph.dim && originals->is_contiguous() &&
                                 originals->scalar_type() == ScalarType::Float),
                  op, ": originals must be [", graph.count - first, ", ", graph.dim,
                  "] float32, contiguous, got ", originals ? shape_of(*originals) : "none");
  STD_TORCH_CHECK(!std::isnan(prune_headroom), op, ": prune_headroom must be a number, got NaN");
  STD_TORCH_CHECK(graph.offsets[0] == 0, op, ": offsets must begin with 0, got ", graph.offsets[0]);
  for (int64_t i = 0; i < graph.count; ++i)  // all are checked: old vectors take links to new ones
    STD_TORCH_CHECK(params.levels[i] > 0 && params.levels[i] <= graph.num_levels &&
                        graph.offsets[i + 1] - graph.offsets[i] == graph.level_starts[params.levels[i]],
                    op, ": levels must be from 1 to ", graph.num_levels, " and offsets as they say; vector ",
                    i, " has level ", params.levels[i]);
  const TorchThreads threads(cpu::hnsw_steps(graph, graph.count - first, ef_construction));
  const cpu::HnswEntry top = cpu::hnsw_add(params, threads);
  int32_t* target = static_cast<int32_t*>(entry.mutable_data_ptr());
  target[0] = top.point;
  target[1] = top.max_level;
}

std::tuple<Tensor, Tensor, Tensor> hnsw_search_cpu(const Tensor& queries, const Tensor& vectors,
                                                   const Tensor& offsets, const Tensor& level_starts,
                                                   const Tensor& neighbors, const Tensor& entry, int64_t k,
                                                   int64_t metric, int64_t ef, bool check_relative_distance,
                                                   const std::optional<Tensor>& allowed) {
  const char* op = "hnsw_search";
  check_k(op, k);
  const cpu::HnswGraph graph = graph_of(op, vectors, offsets, level_starts, neighbors, entry, metric);
  const cpu::HnswWalk walk = walk_of(op, graph, queries, ef, check_relative_distance, allowed);
  const Tensor q = with_contiguous_rows(queries);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Float);
  Tensor ids = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Long);
  const cpu::HnswCounts counts = cpu::hnsw_search(
      graph, rows_of(op, q), walk, k, scores.mutable_data_ptr<float>(), ids.mutable_data_ptr<int64_t>(),
      TorchThreads(cpu::hnsw_steps(graph, q.size(0), std::max(ef, k))));
  return {scores, ids, counts_of(counts, q)};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> hnsw_range_search_cpu(
    const Tensor& queries, const Tensor& vectors, const Tensor& offsets, const Tensor& level_starts,
    const Tensor& neighbors, const Tensor& entry, double radius, int64_t metric, int64_t ef,
    bool check_relative_distance, const std::optional<Tensor>& allowed) {
  const char* op = "hnsw_range_search";
  const cpu::HnswGraph graph = graph_of(op, vectors, offsets, level_starts, neighbors, entry, metric);
  const cpu::HnswWalk walk = walk_of(op, graph, queries, ef, check_relative_distance, allowed);
  const Tensor q = with_contiguous_rows(queries);
  const cpu::HnswFound found = cpu::hnsw_range_search(graph, rows_of(op, q), walk, float(radius),
                                                      TorchThreads(cpu::hnsw_steps(graph, q.size(0), ef)));
  return {tensor_of(found.lims, q), tensor_of(found.scores, q), tensor_of(found.ids, q),
          counts_of(found.counts, q)};
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("hnsw_add_", TORCH_BOX(&hnsw_add_cpu));
  m.impl("hnsw_search", TORCH_BOX(&hnsw_search_cpu));
  m.impl("hnsw_range_search", TORCH_BOX(&hnsw_range_search_cpu));
}

}  // namespace fastret::ops
