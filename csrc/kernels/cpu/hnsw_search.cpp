#include <atomic>
#include <limits>
#include <mutex>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/hnsw_walk.h"
#include "kernels/cpu/rows.h"

namespace fastret::cpu {
namespace {

struct Neighbor {
  float value;  // canonical rank value
  int64_t id;
};

// The neighbours with their canonical scores, best first.
void rank(const HnswGraph& graph, const float* query, std::vector<Neighbor>& found) {
  const float* rows[kRowsPerCall];
  float scores[kRowsPerCall];
  for (size_t first = 0; first < found.size(); first += kRowsPerCall) {
    const int count = int(std::min<size_t>(kRowsPerCall, found.size() - first));
    for (int i = 0; i < count; ++i) rows[i] = graph.vector(found[first + size_t(i)].id);
    score_keys(graph.metric, query, 0.0, rows, nullptr, count, graph.dim, scores);
    for (int i = 0; i < count; ++i) found[first + size_t(i)].value = rank_value(graph.metric, scores[i]);
  }
  std::sort(found.begin(), found.end(),
            [](const Neighbor& a, const Neighbor& b) { return ranks_before(a.value, a.id, b.value, b.id); });
}

// Behind a call, or compilers ask for the thread's own again at each use.
[[gnu::noinline]] WalkRoom& room_of_thread() {
  thread_local WalkRoom room;
  return room;
}

// Runs body(walker, query, q) for each query on all threads, whoever is free takes the next.
template <class F>
HnswCounts with_walkers(const HnswGraph& graph, const Rows& queries, const Parallel& parallel, F&& body) {
  HnswCounts total;
  std::mutex totalling;
  std::atomic<int64_t> next{0};
  parallel(std::min<int64_t>(parallel.num_threads, queries.rows), [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    WalkRoom& room = room_of_thread();
    for (int64_t task = begin; task < end; ++task) {
      Walker walker(graph, room);
      for (int64_t q; (q = next.fetch_add(1)) < queries.rows;)
        body(walker, static_cast<const float*>(queries.data) + q * queries.row_stride, q);
      const std::lock_guard<std::mutex> lock(totalling);
      total.searches += walker.counts.searches;
      total.exhausted += walker.counts.exhausted;
      total.distances += walker.counts.distances;
      total.hops += walker.counts.hops;
    }
  });
  return total;
}

// One walk on level 0. met(node): of each vector.
template <class Met>
void walk(Walker& walker, const HnswGraph& graph, const float* query, const HnswWalk& how, int64_t k,
          Met&& met) {
  const int64_t capacity = std::min(std::max({how.ef, k, int64_t(1)}), graph.count);
  const int64_t everywhere = graph.count;
  walker.walk(query, walker.descend(query, 0), 0, capacity, how.check_relative_distance ? how.ef : everywhere,
              how.check_relative_distance ? everywhere : how.ef, met);
}

}  // namespace

HnswCounts hnsw_search(const HnswGraph& graph, const Rows& queries, const HnswWalk& how, int64_t k,
                       float* scores, int64_t* ids, const Parallel& parallel) {
  const float worst = rank_value(graph.metric, -std::numeric_limits<float>::infinity());
  std::fill(scores, scores + queries.rows * k, worst);
  std::fill(ids, ids + queries.rows * k, -1);
  if (graph.entry_point < 0 || k == 0) return {};
  return with_walkers(graph, queries, parallel, [&](Walker& walker, const float* query, int64_t q) {
    Pool allowed;
    if (how.allowed) allowed.clear(std::min(k, graph.count));
    walk(walker, graph, query, how, k, [&](Node node) {
      if (how.allowed && how.allowed[node.id()]) allowed.offer(node);
    });
    Pool& pool = how.allowed ? allowed : walker.pool;
    std::vector<Neighbor> found;
    for (Node* node = pool.begin(); node != pool.end() && int64_t(found.size()) < k; ++node)
      if (node->is_number()) found.push_back({0, node->id()});
    rank(graph, query, found);
    for (size_t i = 0; i < found.size(); ++i) {
      scores[q * k + int64_t(i)] = rank_value(graph.metric, found[i].value) + 0.0f;
      ids[q * k + int64_t(i)] = found[i].id;
    }
  });
}

HnswFound hnsw_range_search(const HnswGraph& graph, const Rows& queries, const HnswWalk& how, float radius,
                            const Parallel& parallel) {
  HnswFound all;
  all.lims.push_back(0);
  std::vector<std::vector<Neighbor>> found(size_t(queries.rows));
  const float threshold = rank_value(graph.metric, radius);
  if (graph.entry_point >= 0)
    all.counts = with_walkers(graph, queries, parallel, [&](Walker& walker, const float* query, int64_t q) {
      auto& mine = found[size_t(q)];
      const uint32_t limit = Node::key_of(0.0f - threshold);
      walk(walker, graph, query, how, 1, [&](Node node) {
        if (node.key() < limit && (!how.allowed || how.allowed[node.id()])) mine.push_back({0, node.id()});
      });
      rank(graph, query, mine);
    });
  for (auto& mine : found) {
    std::sort(mine.begin(), mine.end(), [](const Neighbor& a, const Neighbor& b) { return a.id < b.id; });
    for (const Neighbor& neighbor : mine) {
      if (!(neighbor.value > threshold)) continue;
      all.scores.push_back(rank_value(graph.metric, neighbor.value) + 0.0f);
      all.ids.push_back(neighbor.id);
    }
    all.lims.push_back(int64_t(all.ids.size()));
  }
  return all;
}

}  // namespace fastret::cpu
