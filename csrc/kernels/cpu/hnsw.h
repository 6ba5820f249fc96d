// Hierarchical navigable small worlds (Malkov and Yashunin, arXiv:1603.09320) in the tables that FAISS keeps.
// Inputs are checked by the caller (csrc/ops/hnsw_cpu.cpp), but for what a search would have to read whole
// tables for: a neighbour that is no vector ends a list, and offsets beyond the table make it empty.
#pragma once
#include <algorithm>
#include <vector>

#include "kernels/params.h"

namespace fastret::cpu {

struct HnswGraph {
  const float* vectors;            // [N, D]
  int64_t count;                   // N
  int64_t dim;                     // D
  Metric metric;                   // inner_product or l2
  const int64_t* offsets;          // [N + 1]: where the lists of a vector are in `neighbors`
  const int32_t* level_starts;     // [L + 1]: where among these that of a level is
  int64_t num_levels;              // L
  const int32_t* neighbors;        // [offsets[N]]; -1 fills up a list
  int32_t entry_point, max_level;  // -1, -1: an empty graph

  const float* vector(int64_t id) const { return vectors + id * dim; }
  bool has(int32_t id) const { return id >= 0 && id < count; }

  // What every walk counts on, where `neighbors` is as long as the last offset says.
  bool levels_ascend() const {
    return num_levels > 0 && level_starts[0] == 0 && level_starts[1] > 0 &&
           std::is_sorted(level_starts, level_starts + num_levels + 1);
  }
  bool entry_fits() const {
    return entry_point < count && max_level < num_levels && (entry_point < 0 || max_level >= 0);
  }
};

// Steps of so many walks, at a guess.
inline int64_t hnsw_steps(const HnswGraph& graph, int64_t walks, int64_t ef) {
  return walks * std::clamp<int64_t>(ef, 1, graph.count + 1) * graph.level_starts[1] * graph.dim;
}

struct HnswAddParams {
  HnswGraph graph;         // vectors and offsets are those of all N
  int64_t first;           // vectors first ... N - 1 are added
  const int32_t* levels;   // [N]: a vector is on levels 0 ... levels[i] - 1
  const float* originals;  // [N - first, D]: where vectors are decoded ones, what they were; or nullptr
  int32_t* neighbors;      // those of the graph; the lists of what is added hold -1
  int64_t ef_construction;
  float prune_headroom;       // the part of a full list that its pruning frees
  bool keep_max_size_level0;  // fill the lists of level 0 with what pruning would drop
};

struct HnswEntry {
  int32_t point, max_level;
};

// Adds in batches that double, up to a fiftieth of the graph: each vector of a batch chooses its neighbours
// in the graph as it was before the batch, then each list takes all its new links at once. So the graph does
// not depend on the number of threads. (ParlayANN, arXiv:2305.04359; FAISS's deterministic build makes the
// same.)
HnswEntry hnsw_add(const HnswAddParams& params, const Parallel& parallel);

struct HnswWalk {
  int64_t ef = 16;
  bool check_relative_distance = true;  // stop at a vector that `ef` nearer ones precede, else after ef hops
  const bool* allowed = nullptr;        // [N]: what may be found; all are walked over. nullptr: all
};

// What FAISS counts in hnsw_stats.
struct HnswCounts {
  int64_t searches = 0, exhausted = 0, distances = 0, hops = 0;
};

// scores and ids [Q, K] as of SearchParams. Which neighbours are found float32 sums decide, as of row_sums.h;
// their scores and their order are canonical.
HnswCounts hnsw_search(const HnswGraph& graph, const Rows& queries, const HnswWalk& walk, int64_t k,
                       float* scores, int64_t* ids, const Parallel& parallel);

struct HnswFound {
  std::vector<int64_t> lims;  // [Q + 1]
  std::vector<float> scores;
  std::vector<int64_t> ids;
  HnswCounts counts;
};

// Of the vectors that a search for one neighbour walks over, those that score better than the radius, ids
// ascending.
HnswFound hnsw_range_search(const HnswGraph& graph, const Rows& queries, const HnswWalk& walk, float radius,
                            const Parallel& parallel);

}  // namespace fastret::cpu
