#include <atomic>
#include <numeric>
#include <random>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/hnsw_walk.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kNodesPerTask = 16;
constexpr uint32_t kOrderSeed = 789;  // FAISS's

// Chooses neighbours and writes them down.
class Linker {
 public:
  Linker(const HnswGraph& graph, const HnswAddParams& params)
      : graph_(graph), p_(params), walker_(graph, room_) {}

  // The neighbours of a new vector on each of its levels that the graph has.
  void link_forward(int32_t id) {
    const float* vector = p_.originals ? p_.originals + (id - p_.first) * graph_.dim : graph_.vector(id);
    const int32_t top = std::min(p_.levels[id] - 1, graph_.max_level);
    const Node nearest = walker_.descend(vector, top);
    for (int32_t level = top; level >= 0; --level) {
      const int64_t everywhere = graph_.count;
      walker_.walk(vector, nearest, level, std::min(p_.ef_construction, everywhere), everywhere, everywhere,
                   [](Node) {});
      nodes_.assign(walker_.pool.begin(), walker_.pool.end());
      const int64_t room = list_length(level);
      if (int64_t(nodes_.size()) >= room) prune(room, room, level);
      int32_t *list = list_of(id, level), *end = list + room;
      // Farthest first, as FAISS has it.
      for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node)
        if (node->id() != id) *list++ = node->id();
      std::fill(list, end, -1);
    }
  }

  // Adds sources, ascending, to the list of a vector; where they do not fit, the list is pruned.
  void link_back(int32_t id, int32_t level, const std::vector<int32_t>& sources) {
    int32_t* list = list_of(id, level);
    const int64_t room = list_length(level);
    ids_.assign(list, std::find_if(list, list + room, [&](int32_t other) { return !graph_.has(other); }));
    const size_t before = ids_.size();
    for (const int32_t source : sources)
      if (std::find(ids_.begin(), ids_.begin() + int64_t(before), source) == ids_.begin() + int64_t(before))
        ids_.push_back(source);
    if (int64_t(ids_.size()) > room) {
      nodes_.resize(ids_.size());
      walker_.measure(graph_.vector(id), ids_.data(), int64_t(ids_.size()), nodes_.data());
      std::sort(nodes_.begin(), nodes_.end());
      const float headroom = std::clamp(p_.prune_headroom, 0.0f, 0.5f);
      prune(std::max<int64_t>(1, int64_t(float(room) - float(room) * headroom)), room, level);
      ids_.clear();
      for (const Node node : nodes_) ids_.push_back(node.id());
    }
    std::fill(std::copy(ids_.begin(), ids_.end(), list), list + room, -1);
  }

 private:
  int64_t list_length(int32_t level) const {
    return graph_.level_starts[level + 1] - graph_.level_starts[level];
  }

  int32_t* list_of(int32_t id, int32_t level) const {
    return p_.neighbors + graph_.offsets[id] + graph_.level_starts[level];
  }

  // Of nodes_, nearest first, keeps those that no kept one is nearer to than the vector they are to be
  // neighbours of; at most `most` of them. Where lists of level 0 are kept full, the others fill up to
  // `room`.
  void prune(int64_t most, int64_t room, int32_t level) {
    kept_ids_.clear();
    kept_.clear();
    dropped_.clear();
    for (const Node node : nodes_) {
      if (int64_t(kept_.size()) >= most) break;
      if (is_nearer_to_kept(node)) {
        dropped_.push_back(node);
        continue;
      }
      kept_.push_back(node);
      kept_ids_.push_back(node.id());
    }
    if (p_.keep_max_size_level0 && level == 0)
      for (const Node node : dropped_)
        if (int64_t(kept_.size()) < room) kept_.push_back(node);
    nodes_.swap(kept_);
  }

  bool is_nearer_to_kept(Node node) {
    const float* vector = graph_.vector(node.id());
    const int64_t count = int64_t(kept_ids_.size());
    for (int64_t i = 0; i < count; i += kAtOnce) {
      Node others[kAtOnce];
      const int64_t some = std::min<int64_t>(kAtOnce, count - i);
      walker_.measure(vector, kept_ids_.data() + i, some, others);
      for (int64_t r = 0; r < some; ++r)
        if (others[r].key() < node.key()) return true;
    }
    return false;
  }

  static constexpr int64_t kAtOnce = kRowsInFlight;  // most nodes are dropped for one of the first
  const HnswGraph& graph_;
  const HnswAddParams& p_;
  WalkRoom room_;
  Walker walker_;
  std::vector<Node> nodes_, kept_, dropped_;
  std::vector<int32_t> ids_, kept_ids_;
};

// Runs body(linker, i) for each i below count on all threads, whoever is free takes the next few.
template <class F>
void with_linkers(const HnswGraph& graph, const HnswAddParams& params, const Parallel& parallel,
                  int64_t count, F&& body) {
  std::atomic<int64_t> next{0};
  const int64_t tasks = std::clamp<int64_t>(count / kNodesPerTask, 1, parallel.num_threads);
  parallel(tasks, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t task = begin; task < end; ++task) {
      Linker linker(graph, params);
      for (int64_t i; (i = next.fetch_add(kNodesPerTask)) < count;)
        for (int64_t j = i; j < std::min(count, i + kNodesPerTask); ++j) body(linker, j);
    }
  });
}

// A link from a vector to `source` that is to be returned.
struct BackLink {
  int32_t level, id, source;
  bool operator<(const BackLink& other) const {
    if (level != other.level) return level < other.level;
    return id != other.id ? id < other.id : source < other.source;
  }
};

void add_batch(const HnswGraph& graph, const HnswAddParams& p, const int32_t* ids, int64_t count,
               const Parallel& parallel) {
  with_linkers(graph, p, parallel, count, [&](Linker& linker, int64_t i) { linker.link_forward(ids[i]); });

  std::vector<BackLink> links;
  for (int64_t i = 0; i < count; ++i)
    for (int32_t level = 0; level < p.levels[ids[i]]; ++level)
      for (int32_t at = graph.level_starts[level]; at < graph.level_starts[level + 1]; ++at) {
        const int32_t neighbor = p.neighbors[graph.offsets[ids[i]] + at];
        if (!graph.has(neighbor)) break;
        // The lists of a damaged graph may lead to vectors that are not on their level.
        if (level < p.levels[neighbor]) links.push_back({level, neighbor, ids[i]});
      }
  std::sort(links.begin(), links.end());
  std::vector<size_t> starts;  // of the links to one list
  for (size_t i = 0; i < links.size(); ++i)
    if (i == 0 || links[i].id != links[i - 1].id || links[i].level != links[i - 1].level) starts.push_back(i);
  starts.push_back(links.size());
  with_linkers(graph, p, parallel, int64_t(starts.size()) - 1, [&](Linker& linker, int64_t i) {
    std::vector<int32_t> sources;
    for (size_t j = starts[size_t(i)]; j < starts[size_t(i) + 1]; ++j) sources.push_back(links[j].source);
    linker.link_back(links[starts[size_t(i)]].id, links[starts[size_t(i)]].level, sources);
  });
}

// The new vectors by level, the highest first, those of a level shuffled as FAISS does: groups[i] of level L
// - 1 - i.
std::vector<std::vector<int32_t>> insertion_order(const HnswAddParams& p) {
  std::vector<std::vector<int32_t>> groups;
  for (int64_t id = p.first; id < p.graph.count; ++id) {
    const size_t level = size_t(p.levels[id] - 1);
    if (groups.size() <= level) groups.resize(level + 1);
    groups[level].push_back(int32_t(id));
  }
  std::reverse(groups.begin(), groups.end());
  std::mt19937 random(kOrderSeed);
  for (auto& group : groups)
    for (size_t i = 0; i < group.size(); ++i)
      std::swap(group[i], group[i + random() % uint32_t(group.size() - i)]);
  return groups;
}

}  // namespace

HnswEntry hnsw_add(const HnswAddParams& params, const Parallel& parallel) {
  HnswGraph graph = params.graph;
  const size_t largest_batch = size_t(std::max(1.0, 0.02 * double(graph.count)));
  for (const auto& group : insertion_order(params)) {
    if (group.empty()) continue;
    const int32_t top = params.levels[group[0]] - 1;
    if (graph.entry_point < 0) {
      graph.entry_point = group[0];
      graph.max_level = top;
    }
    for (size_t done = 0, count; done < group.size(); done += count) {
      count = std::min({std::max<size_t>(done, 1), largest_batch, group.size() - done});
      add_batch(graph, params, group.data() + done, int64_t(count), parallel);
      // Only now that it is linked can the first one lead to the others.
      if (top > graph.max_level) {
        graph.entry_point = group[0];
        graph.max_level = top;
      }
    }
  }
  return {graph.entry_point, graph.max_level};
}

}  // namespace fastret::cpu
