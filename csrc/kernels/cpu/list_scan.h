// The first pass over inverted lists: float32 scores of the rows as they lie, or as they are decoded. Each
// block of rows is read once for all queries that visit its list.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/key_panels.h"
#include "kernels/cpu/level_pass.h"
#include "kernels/cpu/list_rows.h"
#include "kernels/cpu/list_visits.h"
#include "kernels/cpu/row_sums.h"

namespace fastret::cpu {

// What all parts of a scan know of the queries and the lists.
struct ListWork {
  ListWork(const InvertedLists& inverted_lists, const Probes& of_probes, Metric of_metric,
           const QueryBlock& of_block);

  // The queries of a part of the block that the first pass can bound, or those that it cannot. Every score of
  // a query that holds NaN is NaN: it is among neither.
  std::vector<uint32_t> queries(Range part, bool bounded) const;
  // Below the upper end of every row whose rank value with query q is at least `value`.
  float lowest_end(int64_t q, double value) const;

  const InvertedLists& lists;
  const Probes& probes;
  Metric metric;
  int64_t dim;
  const QueryBlock& block;
  ErrorBound bound;
  std::vector<QueryBounds> bounds;  // of the queries of the block
};

// Queries of lists and nothing else of them: a KeySet that QueryBlock reads.
inline KeySet shape_of_lists(const InvertedLists& lists, Metric metric) {
  return KeySet({nullptr, 0, lists.dim, lists.dim, DType::f32}, metric, {}, nullptr);
}

// The parts of a scan. Threads share the queries out where there are enough, so that each query has one
// threshold; else they share the lists.
struct ListParts {
  static constexpr int64_t kQueriesPerThread = 64;

  ListParts(int64_t queries, int num_threads)
      : num_queries(queries),
        query_parts(std::clamp<int64_t>(queries / kQueriesPerThread, 1, num_threads)),
        list_parts(query_parts == 1 ? num_threads : 1) {}

  int64_t count() const { return query_parts * list_parts; }
  Range queries(int64_t task) const { return part(num_queries, task % query_parts, query_parts); }
  int64_t lists(int64_t task) const { return task / query_parts; }

  int64_t num_queries, query_parts, list_parts;
};

// Canonical rank values of query q with some rows.
void score_places(const ListWork& work, ListRows& rows, int64_t q, const RowPlace* places, int64_t count,
                  float* values);

// Visits lists. The keeper has a sink for every query and takes what may be found:
//   Sink& sink(int64_t q);
//   void settle(int64_t q, const HalfWidth& half_width, int64_t list, int64_t first);
//     Candidates came to the sink, of the rows from position `first` on; half_width(i) is half the width of
//     the interval that holds the value of row first + i, and the query's extra error.
//   void found(int64_t q, float value, int64_t position);
//     A row that was scored canonically.
template <class Keeper>
class ListScan {
 public:
  ListScan(const ListWork& work, Keeper& keeper)
      : work_(work),
        isa_(primitives()),
        keeper_(keeper),
        rows_(work.lists, kPanelKeys),
        levels_(work.lists, work.metric),
        row_sums_(rows_.in_place() && work.metric == Metric::l2 ? row_sums() : nullptr) {
    std::fill_n(facts_, kPanelKeys, 1.0f);  // the scale
  }

  // First the best list of each query: then thresholds are high from the start. Of `parts` parts, this one
  // does every parts-th list.
  void run(const std::vector<uint32_t>& queries, int64_t part = 0, int64_t parts = 1) {
    const int64_t best = std::min<int64_t>(1, work_.probes.per_query);
    for (const Range some_probes : {Range{0, best}, Range{best, work_.probes.per_query}}) {
      const ListVisits visits(work_.lists, work_.probes, work_.block, queries, some_probes);
      for (size_t i = size_t(part); i < visits.all().size(); i += size_t(parts)) visit(visits.all()[i]);
    }
  }

  // Scores every row canonically.
  void run_exactly(const std::vector<uint32_t>& queries, int64_t part = 0, int64_t parts = 1) {
    const ListVisits visits(work_.lists, work_.probes, work_.block, queries, {0, work_.probes.per_query});
    for (size_t i = size_t(part); i < visits.all().size(); i += size_t(parts)) visit_exactly(visits.all()[i]);
  }

  // One query, by its lists in their order, without a plan.
  void run_alone(uint32_t query, int64_t part, int64_t parts) {
    const double square = work_.block.square(query);
    if (std::isnan(square)) return;
    const bool bounded = fits_first_pass(square);
    int64_t place = 0;
    visit_probes(work_.lists, work_.probes, work_.block.first() + query, {0, work_.probes.per_query},
                 [&](int64_t list, int64_t rows) {
                   if (place++ % parts != part) return;
                   const ListVisit one{list, rows, &query, 1};
                   bounded ? visit(one) : visit_exactly(one);
                 });
  }

 private:
  // So many queries share what decoding a list costs.
  static constexpr int64_t kSharing = 6;
  static constexpr float kMostBounded = 1e37f;  // NaN is above it

  float* errors() { return facts_ + 4 * kPanelKeys; }  // the offsets of key facts: what upper ends add

  void visit_exactly(const ListVisit& visit) {
    const int64_t end = work_.lists.starts[visit.list] + visit.rows;
    for (int64_t first = end - visit.rows; first < end; first += kPanelKeys) {
      places_.clear();
      for (int64_t p = first; p < std::min(end, first + kPanelKeys); ++p)
        if (!work_.lists.allowed || work_.lists.allowed[p]) places_.push_back({visit.list, p});
      score_exactly(visit, rows_);
    }
  }

  void visit(const ListVisit& visit) {
    if (row_sums_ && visit.num_queries == 1) return visit_differences(visit);
    if (!levels_.applies() || visit.num_queries >= kSharing) return visit_rows(visit);
    for (int64_t i = 0; i < visit.num_queries; ++i) {
      const uint32_t* query = visit.queries + i;
      if (levels_.aim(work_.block.row(*query), work_.block.square(*query), visit.list))
        visit_levels(visit, *query);
      else
        visit_rows({visit.list, visit.rows, query, 1});
    }
  }

  // Scores the rows straight from their codes.
  void visit_levels(const ListVisit& visit, uint32_t query) {
    const float error = levels_.error();
    std::fill_n(errors(), kPanelKeys, error);
    float values[kPanelKeys] = {};
    const int64_t start = work_.lists.starts[visit.list];
    for (int64_t first = start; first < start + visit.rows; first += kPanelKeys) {
      const int size = int(std::min<int64_t>(kPanelKeys, start + visit.rows - first));
      const uint32_t allowed = allowed_in(first, size);
      if (!allowed) continue;
      levels_.score(first, size, values);
      offer(visit.list, query, first, values, allowed);
    }
  }

  // Sums up the squared differences to one query, whose error is in proportion to the sum: this needs no
  // norms. A sum of D terms, each of three roundings, errs by (D/16 + 16)u of itself, the canonical score and
  // the steps from the sum to t by 4u (sum + square).
  void visit_differences(const ListVisit& visit) {
    const uint32_t query = *visit.queries;
    const float square = float(work_.block.square(query));
    const float share = float((double(work_.dim) / 16 + 24) * 0x1p-24) * 0.51f;
    const float least = 3 * 0x1p-24f * square + float(double(work_.dim + 16) * 0x1p-140);
    const int64_t start = work_.lists.starts[visit.list];
    for (int64_t first = start; first < start + visit.rows; first += kPanelKeys) {
      const int size = int(std::min<int64_t>(kPanelKeys, start + visit.rows - first));
      const uint32_t allowed = allowed_in(first, size);
      if (!allowed) continue;
      const float* rows[kPanelKeys];
      for (int i = 0; i < size; ++i) rows[i] = rows_.read({visit.list, first + i}, i);
      float values[kPanelKeys] = {};
      row_sums_(Term::squared_difference, work_.block.row(query), rows, size, work_.dim, values);
      const uint32_t unbounded = allowed & unbounded_in(values);
      if (unbounded) visit_unbounded(visit, unbounded, first);
      for (int i = 0; i < kPanelKeys; ++i) {
        errors()[i] = share * values[i] + least;
        values[i] = 0.5f * (square - values[i]);
      }
      offer(visit.list, query, first, values, allowed & ~unbounded);
    }
  }

  // Rows that may be found, from position `first` on: t within errors().
  void offer(int64_t list, uint32_t query, int64_t first, const float* values, uint32_t allowed) {
    const QueryFacts query_facts{1, 0, 0, 0};
    Sink& sink = keeper_.sink(query);
    const uint32_t before = sink.count;
    isa_.filter_tile(false, values, 1, &query_facts, KeyFacts(facts_), allowed, uint32_t(first), &sink);
    if (sink.count == before) return;
    const auto half_width = [&](int64_t i) { return errors()[i] + work_.bounds[query].extra; };
    keeper_.settle(query, half_width, list, first);
  }

  void visit_rows(const ListVisit& visit) {
    const int64_t start = work_.lists.starts[visit.list];
    for (int64_t row = 0; row < visit.rows; row += kPanelKeys)
      visit_block(visit, start + row, int(std::min<int64_t>(kPanelKeys, visit.rows - row)));
  }

  // The rows from position `first` on.
  void visit_block(const ListVisit& visit, int64_t first, int size) {
    const uint32_t allowed = allowed_in(first, size);
    if (!allowed) return;
    const float* rows[kPanelKeys];
    for (int i = 0; i < kPanelKeys; ++i)  // past the end the last row stands in
      rows[i] = i < size ? rows_.read({visit.list, first + i}, i) : rows[size - 1];
    alignas(64) float dots[kRowTileQueries * kPanelKeys], squares[kPanelKeys], facts[kFactsPerPanel];
    for (int64_t g = 0; g < visit.num_queries; g += kRowTileQueries) {
      const int count = int(std::min<int64_t>(kRowTileQueries, visit.num_queries - g));
      const uint32_t* group = visit.queries + g;
      const float* queries[kRowTileQueries];
      QueryFacts query_facts[kRowTileQueries];
      Sink sinks[kRowTileQueries];
      for (int r = 0; r < count; ++r) {
        queries[r] = work_.block.row(group[r]);
        query_facts[r] = work_.bounds[group[r]].facts;
        sinks[r] = keeper_.sink(group[r]);
      }
      isa_.row_tile(queries, count, rows, work_.dim, dots, squares);
      if (g == 0)
        if (const uint32_t unbounded = in_place_facts(work_.bound, squares, size, facts))
          visit_unbounded(visit, allowed & unbounded, first);
      const KeyFacts key_facts(facts);
      isa_.filter_tile(false, dots, count, query_facts, key_facts, allowed, uint32_t(first), sinks);
      for (int r = 0; r < count; ++r) {
        Sink& sink = keeper_.sink(group[r]);
        if (sinks[r].count == sink.count) continue;
        sink.count = sinks[r].count;
        const auto half_width = [&](int64_t i) {
          return work_.bound.half_width(work_.bounds[group[r]], key_facts.residual[i], key_facts.norm[i]);
        };
        keeper_.settle(group[r], half_width, visit.list, first);
      }
    }
  }

  uint32_t allowed_in(int64_t first, int size) const {
    uint32_t allowed = size < kPanelKeys ? (1u << size) - 1 : ~0u;
    if (const bool* may = work_.lists.allowed)
      for (int i = 0; i < size; ++i) allowed &= ~(uint32_t(!may[first + i]) << i);
    return allowed;
  }

  // Those of a block of rows that float32 cannot bound.
  void visit_unbounded(const ListVisit& visit, uint32_t unbounded, int64_t first) {
    places_.clear();
    for (int i = 0; i < kPanelKeys; ++i)
      if (unbounded >> i & 1) places_.push_back({visit.list, first + i});
    ListRows apart(work_.lists, kRowsPerCall);  // the block's rows are in use
    score_exactly(visit, apart);
  }

  // Of the sums of a panel, those that float32 cannot bound.
  static uint32_t unbounded_in(const float* sums) {
    bool all = true;
    for (int i = 0; i < kPanelKeys; ++i) all &= sums[i] <= kMostBounded;
    uint32_t unbounded = 0;
    for (int i = 0; i < kPanelKeys && !all; ++i) unbounded |= uint32_t(!(sums[i] <= kMostBounded)) << i;
    return unbounded;
  }

  void score_exactly(const ListVisit& visit, ListRows& rows) {
    float values[kPanelKeys];
    for (int64_t i = 0; i < visit.num_queries; ++i) {
      score_places(work_, rows, visit.queries[i], places_.data(), int64_t(places_.size()), values);
      for (size_t p = 0; p < places_.size(); ++p)
        keeper_.found(visit.queries[i], values[p], places_[p].position);
    }
  }

  const ListWork& work_;
  const Primitives& isa_;
  Keeper& keeper_;
  ListRows rows_;
  LevelPass levels_;
  RowSums row_sums_;                  // nullptr: not for these lists
  float facts_[kFactsPerPanel] = {};  // of rows whose values are t already
  std::vector<RowPlace> places_;      // of one block
};

}  // namespace fastret::cpu
