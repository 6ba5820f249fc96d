// Walking a graph towards a query: the nodes met so far in order of distance, and who was met.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/hnsw.h"
#include "kernels/cpu/row_sums.h"

namespace fastret::cpu {

// A vector with its distance from the query as one number to order by: nearer first, of equal distances the
// smaller id. The lowest bit tells whether its neighbours have been looked at.
class Node {
 public:
  Node() = default;
  Node(float distance, int32_t id) : bits_(uint64_t(key_of(distance)) << 32 | uint64_t(uint32_t(id)) << 1) {}

  int32_t id() const { return int32_t(uint32_t(bits_) >> 1); }
  uint32_t key() const { return uint32_t(bits_ >> 32); }  // of the distance
  bool is_number() const { return key() != kNaN; }
  bool expanded() const { return bits_ & 1; }
  void expand() { bits_ |= 1; }
  bool operator<(Node other) const { return bits_ < other.bits_; }

  // Ascending with the distance. NaN is farther than infinity, so that walks leave it.
  static uint32_t key_of(float distance) {
    if (distance != distance) return kNaN;
    uint32_t bits;
    std::memcpy(&bits, &distance, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  }

 private:
  static constexpr uint32_t kNaN = 0xffffffffu;
  uint64_t bits_;
};

// The nearest nodes met, at most `capacity` of them, nearest first.
class Pool {
 public:
  void clear(int64_t capacity) {
    if (int64_t(nodes_.size()) < capacity) nodes_.resize(size_t(capacity));
    capacity_ = capacity;
    size_ = next_ = 0;
  }

  void offer(Node node) {
    if (size_ == capacity_ && !(node < nodes_[size_t(size_ - 1)])) return;
    Node* place = place_of(node);
    size_ += size_ < capacity_;
    Node* end = nodes_.data() + size_;
    std::memmove(place + 1, place, size_t(end - place - 1) * sizeof(Node));
    *place = node;
    next_ = std::min<int64_t>(next_, place - nodes_.data());
  }

  // The first node that is not nearer, found without branches: they could not be predicted.
  Node* place_of(Node node) {
    Node* place = nodes_.data();
    for (int64_t left = size_; left > 0;) {
      const int64_t half = (left + 1) / 2;
      place += place[half - 1] < node ? half : 0;
      left -= half;
    }
    return place;
  }

  // The place of the nearest node whose neighbours are still to be looked at, or size().
  int64_t nearest_unexpanded() {
    while (next_ < size_ && nodes_[size_t(next_)].expanded()) ++next_;
    return next_;
  }

  int64_t size() const { return size_; }
  Node& operator[](int64_t i) { return nodes_[size_t(i)]; }
  Node* begin() { return nodes_.data(); }
  Node* end() { return nodes_.data() + size_; }

 private:
  std::vector<Node> nodes_;
  int64_t capacity_ = 0, size_ = 0, next_ = 0;
};

// One bit per vector, cleared by undoing what was set.
class Visited {
 public:
  // Of `count` vectors none is met.
  void clear(int64_t count) {
    for (const int32_t id : met_) words_[size_t(id) / 64] = 0;
    met_.clear();
    const size_t words = size_t(count + 63) / 64;
    if (words_.size() < words) words_.resize(words);
  }

  // Those of ids[0 ... count - 1] that are met for the first time, valid until the next call. Without
  // branches: which ones these are cannot be predicted.
  struct Fresh {
    const int32_t* ids;
    int64_t count;
  };
  Fresh meet(const int32_t* ids, int64_t count) {
    const size_t known_before = met_.size();
    met_.resize(known_before + size_t(count));
    int32_t* fresh = met_.data() + known_before;
    int64_t num_fresh = 0;
    for (int64_t i = 0; i < count; ++i) {
      const int32_t id = ids[i];
      uint64_t& word = words_[size_t(id) / 64];
      const bool known = word >> (id % 64) & 1;
      word |= uint64_t(1) << (id % 64);
      fresh[num_fresh] = id;
      num_fresh += !known;
    }
    met_.resize(known_before + size_t(num_fresh));
    return {fresh, num_fresh};
  }

 private:
  std::vector<uint64_t> words_;
  std::vector<int32_t> met_;
};

// What walks write to. It is kept from walk to walk: a short one would spend its time on making it.
struct WalkRoom {
  Pool pool;
  Visited visited;
  std::vector<const float*> rows;
  std::vector<float> sums;
};

// The walks of one thread.
class Walker {
 public:
  Walker(const HnswGraph& graph, WalkRoom& room)
      : pool(room.pool),
        graph_(graph),
        num_places_(graph.offsets[graph.count]),
        sums_of_(row_sums()),
        term_(graph.metric == Metric::l2 ? Term::squared_difference : Term::product),
        room_(room) {
    // A level without vectors may have lists of any length, which no table holds.
    for (int64_t level = 0; level < graph.num_levels; ++level)
      make_room(std::min<int64_t>(graph.level_starts[level + 1] - graph.level_starts[level], num_places_));
  }

  Pool& pool;
  HnswCounts counts;

  // Distances of `from` from vectors ids[0 ... count - 1] as nodes.
  void measure(const float* from, const int32_t* ids, int64_t count, Node* nodes) {
    make_room(count);
    sums(from, ids, count);
    for (int64_t i = 0; i < count; ++i) nodes[i] = node_of(ids, i);
  }

  // From the entry point to the nearest vector that greedy steps reach on the levels above `level`.
  Node descend(const float* query, int32_t level) {
    Node nearest;
    measure(query, &graph_.entry_point, 1, &nearest);
    for (int32_t at = graph_.max_level; at > level; --at) {
      for (bool moved = true; moved;) {
        const Range list = list_of(nearest.id(), at);
        const int32_t* ids = graph_.neighbors + list.begin;
        const int64_t count = list.end - list.begin;
        sums(query, ids, count);
        counts.distances += count;
        counts.hops += 1;
        moved = false;
        for (int64_t i = 0; i < count; ++i) {
          const Node node = node_of(ids, i);
          if (node.key() >= nearest.key()) continue;
          nearest = node;
          moved = true;
        }
      }
    }
    return nearest;
  }

  // Fills the pool with the `capacity` nearest of the vectors met on a level. Stops at a node that `limit`
  // others precede, or once more than max_hops had their neighbours looked at. met(node): of each vector.
  template <class Met>
  void walk(const float* query, Node entry, int32_t level, int64_t capacity, int64_t limit, int64_t max_hops,
            Met&& met) {
    pool.clear(capacity);
    pool.offer(entry);
    const int32_t entry_id = entry.id();
    room_.visited.clear(graph_.count);
    room_.visited.meet(&entry_id, 1);
    met(entry);
    int64_t hops = 0;
    for (int64_t at; (at = pool.nearest_unexpanded()) < std::min(limit, pool.size());) {
      const int32_t id = pool[at].id();
      pool[at].expand();
      if (at + 1 < pool.size()) prefetch_list(pool[at + 1].id(), level);
      const Range list = list_of(id, level);
      const Visited::Fresh fresh = room_.visited.meet(graph_.neighbors + list.begin, list.end - list.begin);
      sums(query, fresh.ids, fresh.count);
      for (int64_t i = 0; i < fresh.count; ++i) {
        const Node node = node_of(fresh.ids, i);
        met(node);
        pool.offer(node);
      }
      counts.distances += fresh.count;
      if (++hops > max_hops) break;
    }
    counts.hops += hops;
    counts.searches += 1;
    counts.exhausted += pool.nearest_unexpanded() == pool.size();
  }

 private:
  struct Range {
    int64_t begin, end;
  };

  // The neighbours of a vector on a level.
  Range list_of(int32_t id, int32_t level) const {
    Range list = places_of(id, level);
    int64_t end = list.begin;
    while (end < list.end && graph_.has(graph_.neighbors[end])) ++end;
    return {list.begin, end};
  }

  Range places_of(int32_t id, int32_t level) const {
    const int64_t start = graph_.offsets[id], end = graph_.offsets[id + 1];
    if (start < 0 || start > end || end > num_places_) return {0, 0};  // nobody has checked all offsets
    // A vector that is not on the level, though a list there names it, has no neighbours on it.
    return {start + graph_.level_starts[level], std::min(end, start + graph_.level_starts[level + 1])};
  }

  void prefetch_list(int32_t id, int32_t level) const {
    const Range list = places_of(id, level);
    for (int64_t i = list.begin; i < list.end; i += 16) __builtin_prefetch(graph_.neighbors + i);
  }

  void make_room(int64_t count) {
    if (int64_t(room_.rows.size()) < count) room_.rows.resize(size_t(count));
    if (int64_t(room_.sums.size()) < count) room_.sums.resize(size_t(count));
  }

  void sums(const float* from, const int32_t* ids, int64_t count) {
    for (int64_t i = 0; i < count; ++i) room_.rows[size_t(i)] = graph_.vector(ids[i]);
    sums_of_(term_, from, room_.rows.data(), count, graph_.dim, room_.sums.data());
  }

  // Of what `sums` added up last.
  Node node_of(const int32_t* ids, int64_t i) const {
    const float sum = room_.sums[size_t(i)];
    return Node(term_ == Term::product ? 0.0f - sum : sum, ids[i]);
  }

  const HnswGraph& graph_;
  int64_t num_places_;
  RowSums sums_of_;
  Term term_;
  WalkRoom& room_;
};

}  // namespace fastret::cpu
