// The best rows of the lists that each query visits: what the first pass keeps is scored canonically.
#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/cpu/candidates.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/list_scan.h"
#include "kernels/cpu/list_search.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kCandidateBytes = 128 << 20;  // held at once, by the queries of a block
// A first pass over so little, which queries rarely share, costs more than it saves.
constexpr int64_t kFewQueries = 4, kFewValues = 1 << 16;

float round_down(double value) {
  return float(value - std::abs(value) * 0x1p-22 - 0x1p-140);
}

// The k best rows seen so far.
class BestRows {
 public:
  struct Row {
    float value;
    int64_t id, position;
    bool operator<(const Row& other) const {
      if (value != other.value || id != other.id) return ranks_before(value, id, other.value, other.id);
      return position < other.position;
    }
  };

  // No row of a smaller value can enter.
  float threshold() const { return threshold_; }

  // In any order.
  void push(size_t k, Row row) {
    if (!(row.value >= threshold_)) return;  // NaN compares false
    rows_.push_back(row);
    if (rows_.size() >= 2 * k + 64) {
      keep_best(k);
      threshold_ = std::max_element(rows_.begin(), rows_.end())->value;  // the last in rank
    }
  }

  void take(BestRows& other) {
    rows_.insert(rows_.end(), other.rows_.begin(), other.rows_.end());
    other.rows_.clear();
  }

  const std::vector<Row>& sorted(size_t k) {
    keep_best(k);
    std::sort(rows_.begin(), rows_.end());
    return rows_;
  }

 private:
  void keep_best(size_t k) {
    if (rows_.size() <= k) return;
    std::nth_element(rows_.begin(), rows_.begin() + int64_t(k) - 1, rows_.end());
    rows_.resize(k);
  }

  float threshold_ = -std::numeric_limits<float>::infinity();
  std::vector<Row> rows_;
};

// What a part of a scan keeps of its queries.
class BestKeeper {
 public:
  BestKeeper(const ListWork& work, Range queries, int64_t k, size_t capacity)
      : work_(work),
        first_(queries.begin),
        k_(size_t(k)),
        sinks_(size_t(queries.end - queries.begin)),
        best_(sinks_.size()),
        finisher_(work.lists, kRowsPerCall) {
    candidates_.reserve(sinks_.size());
    for (Sink& sink : sinks_) candidates_.emplace_back(sink, capacity);
  }

  Sink& sink(int64_t q) { return sinks_[size_t(q - first_)]; }

  template <class HalfWidth>
  void settle(int64_t q, const HalfWidth& half_width, int64_t, int64_t first) {
    Candidates& mine = candidates(q);
    mine.settle(sink(q), [&](float upper, uint32_t place) {
      return round_down(upper - 2 * half_width(place - first));
    });
    if (mine.full(sink(q))) tighten(q);
  }

  void found(int64_t q, float value, int64_t position) {
    best(q).push(k_, {value, work_.lists.ids[position], position});
  }

  // Adds what another part kept of the query, which forgets it.
  void take(BestKeeper& other, int64_t q) {
    candidates(q).merge(sink(q), other.candidates(q), other.sink(q));
    best(q).take(other.best(q));
  }

  // Scores what the first pass kept; false where that is too much.
  bool finish(int64_t q) {
    if (!candidates(q).overflowed()) tighten(q);
    if (candidates(q).overflowed()) return false;
    const Sink& kept = sink(q);
    places_.clear();
    for (uint32_t i = 0; i < kept.count; ++i) places_.push_back(place_of(q, kept.places[i]));
    values_.resize(places_.size());
    score_places(work_, finisher_, q, places_.data(), int64_t(places_.size()), values_.data());
    for (size_t i = 0; i < places_.size(); ++i) found(q, values_[i], places_[i].position);
    return true;
  }

  const std::vector<BestRows::Row>& sorted(int64_t q) { return best(q).sorted(k_); }

 private:
  Candidates& candidates(int64_t q) { return candidates_[size_t(q - first_)]; }
  BestRows& best(int64_t q) { return best_[size_t(q - first_)]; }

  void tighten(int64_t q) {
    const size_t limit = std::max<size_t>(4096, 8 * k_);
    candidates(q).tighten(sink(q), k_, limit, scratch_);
  }

  RowPlace place_of(int64_t q, int64_t position) const {
    if (!work_.lists.centroids) return {0, position};
    const int64_t* probe = work_.probes.lists + (work_.block.first() + q) * work_.probes.per_query;
    const auto holds = [&](int64_t list) {
      const int64_t row = list < 0 ? -1 : position - work_.lists.starts[list];
      return row >= 0 && row < work_.lists.sizes[list];
    };
    while (!holds(*probe)) ++probe;
    return {*probe, position};
  }

  const ListWork& work_;
  int64_t first_;
  size_t k_;
  std::vector<Sink> sinks_;
  std::vector<Candidates> candidates_;
  std::vector<BestRows> best_;
  ListRows finisher_;
  std::vector<RowPlace> places_;
  std::vector<float> values_, scratch_;
};

void write_best(const ListSearchParams& p, int64_t query, const std::vector<BestRows::Row>& best) {
  const float nothing = -std::numeric_limits<float>::infinity();
  const int64_t row = query * p.k;
  for (int64_t j = 0; j < p.k; ++j) {
    const bool there = j < int64_t(best.size());
    // rank_value is its own inverse; + 0 keeps a zero distance from turning into -0.
    p.scores[row + j] = rank_value(p.metric, there ? best[size_t(j)].value : nothing) + 0.0f;
    p.positions[row + j] = there ? best[size_t(j)].position : -1;
  }
}

class BlockListSearch {
 public:
  BlockListSearch(const ListSearchParams& params, const Parallel& parallel, const KeySet& shape,
                  Range queries)
      : p_(params),
        parallel_(parallel),
        block_(params.queries, queries, shape, {}, parallel),
        work_(params.lists, params.probes, params.metric, block_) {}

  void run(size_t capacity) {
    const ListParts parts(block_.size(), parallel_);
    std::vector<std::unique_ptr<BestKeeper>> keepers(size_t(parts.count()));
    parallel_(parts.count(), [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t task = begin; task < end; ++task) {
        const Range mine = parts.queries(task);
        keepers[size_t(task)] = std::make_unique<BestKeeper>(work_, mine, p_.k, capacity);
        ListScan<BestKeeper>(work_, *keepers[size_t(task)])
            .run(work_.queries(mine, true), parts.lists(task), parts.list_parts);
      }
    });
    std::vector<uint32_t> exact = work_.queries({0, block_.size()}, false);
    std::vector<char> overflowed(size_t(block_.size()), 0);
    parallel_(parts.query_parts, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t task = begin; task < end; ++task) {
        BestKeeper& keeper = *keepers[size_t(task)];
        for (int64_t q = parts.queries(task).begin; q < parts.queries(task).end; ++q) {
          for (int64_t other = 1; other < parts.list_parts; ++other) keeper.take(*keepers[size_t(other)], q);
          overflowed[size_t(q)] = !keeper.finish(q);
          if (!overflowed[size_t(q)]) write_best(p_, block_.first() + q, keeper.sorted(q));
        }
      }
    });
    for (int64_t q = 0; q < block_.size(); ++q)
      if (overflowed[size_t(q)]) exact.push_back(uint32_t(q));
    if (!exact.empty()) answer_exactly(exact);
  }

 private:
  void answer_exactly(const std::vector<uint32_t>& queries) {
    parallel_(parallel_.num_threads, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t task = begin; task < end; ++task) {
        const Range range = part(int64_t(queries.size()), task, parallel_.num_threads);
        const std::vector<uint32_t> mine(queries.begin() + range.begin, queries.begin() + range.end);
        BestKeeper keeper(work_, {0, block_.size()}, p_.k, 0);
        ListScan<BestKeeper>(work_, keeper).run_exactly(mine);
        for (const uint32_t q : mine) write_best(p_, block_.first() + q, keeper.sorted(q));
      }
    });
  }

  const ListSearchParams& p_;
  const Parallel& parallel_;
  QueryBlock block_;
  ListWork work_;
};

// Scores every row that one query visits.
void answer_directly(const ListSearchParams& p, int64_t query, ListRows& rows) {
  RowReader reader(p.queries, 1);
  const float* vector = reader.read(query, 0);
  const double square = canonical_square(vector, p.lists.dim);
  BestRows best;
  int64_t left = p.probes.max_rows ? p.probes.max_rows : INT64_MAX;
  for (int64_t i = 0; i < p.probes.per_query && left > 0; ++i) {
    const int64_t list = p.probes.lists[query * p.probes.per_query + i];
    if (list < 0) continue;
    const int64_t visited = std::min(left, p.lists.sizes[list]), end = p.lists.starts[list] + visited;
    left -= visited;
    for (int64_t first = end - visited; first < end; first += kRowsPerCall) {
      const int size = int(std::min<int64_t>(kRowsPerCall, end - first));
      const float* keys[kRowsPerCall];
      for (int r = 0; r < size; ++r) keys[r] = rows.read({list, first + r}, r);
      float scores[kRowsPerCall];
      score_keys(p.metric, vector, square, keys, nullptr, size, p.lists.dim, scores);
      for (int r = 0; r < size; ++r) {
        const int64_t position = first + r;
        const float value = rank_value(p.metric, scores[r]);
        if (value >= best.threshold() && (!p.lists.allowed || p.lists.allowed[position]))
          best.push(size_t(p.k), {value, p.lists.ids[position], position});
      }
    }
  }
  write_best(p, query, best.sorted(size_t(p.k)));
}

// The most rows that some query visits.
int64_t most_rows(const ListSearchParams& p) {
  int64_t most = 0;
  for (int64_t q = 0; q < p.queries.rows; ++q) {
    int64_t rows = 0;
    for (int64_t i = 0; i < p.probes.per_query; ++i) {
      const int64_t list = p.probes.lists[q * p.probes.per_query + i];
      rows += list < 0 ? 0 : p.lists.sizes[list];
    }
    most = std::max(most, rows);
  }
  return most;
}

}  // namespace

void search_lists(const ListSearchParams& params, const Parallel& parallel) {
  if (params.k == 0 || params.queries.rows == 0) return;
  const DefaultFloatEnvironment environment;
  const int64_t most = most_rows(params);
  const bool little = params.queries.rows <= kFewQueries && most * params.lists.dim <= kFewValues;
  if (little && !LevelPass::applies(params.lists, params.metric)) {
    ListRows rows(params.lists, kRowsPerCall);
    for (int64_t q = 0; q < params.queries.rows; ++q) answer_directly(params, q, rows);
    return;
  }
  const KeySet shape = shape_of_lists(params.lists, params.metric);
  const int64_t within_reach = std::min(params.k, most);
  const int64_t capacity = std::max<int64_t>(128, within_reach + within_reach / 2 + 64);
  const int64_t block = std::clamp<int64_t>(kCandidateBytes / (12 * capacity), 16, 4096);
  const int64_t blocks = (params.queries.rows + block - 1) / block;
  for (int64_t b = 0; b < blocks; ++b)
    BlockListSearch(params, parallel, shape, part(params.queries.rows, b, blocks)).run(size_t(capacity));
}

}  // namespace fastret::cpu
