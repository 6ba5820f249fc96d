// The best rows of the lists that each query visits: what the first pass keeps is scored canonically.
#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/cpu/candidates.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/found_rows.h"
#include "kernels/cpu/list_scan.h"
#include "kernels/cpu/list_search.h"
#include "kernels/cpu/value_scale.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kCandidateBytes = 128 << 20;  // held at once, by the queries of a block
// So few queries rarely visit the same lists; for fewer values to a thread, waking it costs more than it
// saves.
constexpr int64_t kFewQueries = 4, kValuesPerThread = 1 << 19;

// What a part of a scan keeps of its queries.
class BestKeeper {
 public:
  BestKeeper(const ListWork& work, Range queries, int64_t k, size_t capacity)
      : work_(work),
        first_(queries.begin),
        k_(size_t(k)),
        sinks_(size_t(queries.end - queries.begin)),
        best_(sinks_.size(), BestRows(k)),
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
    best(q).push({value, work_.lists.id(position), position});
  }

  // Adds what another part kept of the query, which forgets it.
  void take(BestKeeper& other, int64_t q) {
    candidates(q).merge(sink(q), other.candidates(q), other.sink(q));
    best(q).merge(other.best(q));
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

  const std::vector<FoundRow>& sorted(int64_t q) { return best(q).sorted(); }

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

void write_best(const ListSearchParams& p, int64_t query, const std::vector<FoundRow>& best) {
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
    const ListParts parts(block_.size(), parallel_.num_threads);
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

// What a part of a scan of few queries keeps: what the first pass lets through is scored canonically at once.
// For many queries with many neighbours, most of which later ones replace, that costs too much.
class ScoringKeeper {
 public:
  ScoringKeeper(const ListWork& work, Range queries, int64_t k)
      : work_(work), first_(queries.begin), k_(k), finisher_(work.lists, kRowsPerCall) {
    queries_.reserve(size_t(queries.end - queries.begin));
    for (int64_t q = queries.begin; q < queries.end; ++q) queries_.emplace_back(k);
  }

  Sink& sink(int64_t q) { return query(q).sink; }

  template <class HalfWidth>
  void settle(int64_t q, const HalfWidth& half_width, int64_t list, int64_t first) {
    Query& mine = query(q);
    if (int64_t(mine.sink.count) > k_) drop_below_kth(mine.sink, half_width, first);
    for (uint32_t i = 0; i < mine.sink.count; ++i) mine.pending[mine.num_pending++] = {list, mine.places[i]};
    mine.sink.count = 0;
    if (mine.num_pending >= kPending) score_pending(q);
  }

  void found(int64_t q, float value, int64_t position) {
    query(q).best.push({value, work_.lists.id(position), position});
  }

  // Scores what is left to be scored of a query that no list follows for.
  void finish(int64_t q) { score_pending(q); }
  // Adds what another part found. Both are finished.
  void take(const ScoringKeeper& other, int64_t q) {
    query(q).best.merge(other.queries_[size_t(q - other.first_)].best);
  }

  const std::vector<FoundRow>& sorted(int64_t q) { return query(q).best.sorted(); }

 private:
  // So many rows are scored together, each of which may raise the threshold.
  static constexpr int kPending = 8;

  struct Query {
    explicit Query(int64_t k) : best(k) {}
    Query(Query&& other) : best(std::move(other.best)) {}  // before anything was found

    BestRows best;
    float uppers[2 * kPanelKeys];
    uint32_t places[2 * kPanelKeys];
    Sink sink{Candidates::kNoThreshold, 0, uppers, places};
    RowPlace pending[kPending + kPanelKeys];
    int num_pending = 0;
  };

  Query& query(int64_t q) { return queries_[size_t(q - first_)]; }

  // Of the rows in the sink, those below the k-th largest lower end have k others above them.
  template <class HalfWidth>
  void drop_below_kth(Sink& sink, const HalfWidth& half_width, int64_t first) const {
    float lowers[kPanelKeys];
    for (uint32_t i = 0; i < sink.count; ++i)
      lowers[i] = round_down(sink.uppers[i] - 2 * half_width(sink.places[i] - first));
    std::nth_element(lowers, lowers + k_ - 1, lowers + sink.count, std::greater<float>());
    sink.threshold = std::max(sink.threshold, lowers[k_ - 1]);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sink.count; ++i) {
      sink.places[kept] = sink.places[i];
      kept += sink.uppers[i] >= sink.threshold;
    }
    sink.count = kept;
  }

  void score_pending(int64_t q) {
    Query& mine = query(q);
    float values[kPending + kPanelKeys];
    score_places(work_, finisher_, q, mine.pending, mine.num_pending, values);
    for (int i = 0; i < mine.num_pending; ++i) found(q, values[i], mine.pending[i].position);
    mine.num_pending = 0;
    // What the upper end of every row that can still enter reaches.
    const double value = mine.best.threshold();
    if (std::isfinite(value)) mine.sink.threshold = std::max(mine.sink.threshold, work_.lowest_end(q, value));
  }

  const ListWork& work_;
  int64_t first_, k_;
  ListRows finisher_;
  std::vector<Query> queries_;
};

// Calls visit(rows) with how many rows each query visits.
template <class Visit>
void count_rows(const ListSearchParams& p, Visit&& visit) {
  for (int64_t q = 0; q < p.queries.rows; ++q) {
    int64_t rows = 0;
    for (int64_t i = 0; i < p.probes.per_query; ++i) {
      const int64_t list = p.probes.lists[q * p.probes.per_query + i];
      rows += list < 0 ? 0 : p.lists.sizes[list];
    }
    visit(rows);
  }
}

// Few queries, one after the other: threads share the lists.
void search_few(const ListSearchParams& p, const Parallel& parallel) {
  const Range all{0, p.queries.rows};
  const QueryBlock block(p.queries, all, shape_of_lists(p.lists, p.metric), {}, parallel);
  const ListWork work(p.lists, p.probes, p.metric, block);
  int64_t values = 0;
  count_rows(p, [&](int64_t rows) { values += rows * p.lists.dim; });
  const int64_t parts = std::clamp<int64_t>(values / kValuesPerThread, 1, parallel.num_threads);
  std::vector<std::unique_ptr<ScoringKeeper>> keepers(static_cast<size_t>(parts));
  parallel(parts, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t part = begin; part < end; ++part) {
      keepers[size_t(part)] = std::make_unique<ScoringKeeper>(work, all, p.k);
      ListScan<ScoringKeeper> scan(work, *keepers[size_t(part)]);
      for (int64_t q = 0; q < block.size(); ++q) {
        scan.run_alone(uint32_t(q), part, parts);
        keepers[size_t(part)]->finish(q);
      }
    }
  });
  for (int64_t q = 0; q < block.size(); ++q) {
    for (int64_t part = 1; part < parts; ++part) keepers[0]->take(*keepers[size_t(part)], q);
    write_best(p, q, keepers[0]->sorted(q));
  }
}

}  // namespace

void search_lists(const ListSearchParams& params, const Parallel& parallel) {
  if (params.k == 0 || params.queries.rows == 0) return;
  const DefaultFloatEnvironment environment;
  if (params.queries.rows <= kFewQueries) return search_few(params, parallel);
  const KeySet shape = shape_of_lists(params.lists, params.metric);
  int64_t most = 0;
  count_rows(params, [&](int64_t rows) { most = std::max(most, rows); });
  const int64_t within_reach = std::min(params.k, most);
  const int64_t capacity = within_reach + within_reach / 2 + kPanelKeys;
  const int64_t block = std::clamp<int64_t>(kCandidateBytes / (12 * capacity), 16, 4096);
  const int64_t blocks = (params.queries.rows + block - 1) / block;
  for (int64_t b = 0; b < blocks; ++b)
    BlockListSearch(params, parallel, shape, part(params.queries.rows, b, blocks)).run(size_t(capacity));
}

}  // namespace fastret::cpu
