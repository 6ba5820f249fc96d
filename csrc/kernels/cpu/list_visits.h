// Which queries visit which list: the plan of a scan that goes list by list.
#pragma once
#include <algorithm>
#include <vector>

#include "kernels/cpu/query_block.h"
#include "kernels/inverted_lists.h"

namespace fastret::cpu {

// Some queries that visit the first `rows` rows of a list.
struct ListVisit {
  int64_t list, rows;
  const uint32_t* queries;  // of the block, ascending
  int64_t num_queries;
};

// Calls visit(list, rows) for each of these probes of a query that comes upon rows.
template <class Visit>
void visit_probes(const InvertedLists& lists, const Probes& probes, int64_t query, Range some_probes,
                  Visit&& visit) {
  int64_t left = probes.max_rows ? probes.max_rows : INT64_MAX;
  for (int64_t p = 0; p < some_probes.end && left > 0; ++p) {
    const int64_t list = probes.lists[query * probes.per_query + p];
    if (list < 0) continue;
    const int64_t rows = std::min(left, lists.sizes[list]);
    left -= rows;
    if (p >= some_probes.begin && rows > 0) visit(list, rows);
  }
}

class ListVisits {
 public:
  // So few queries are not worth sorting: they rarely meet.
  static constexpr size_t kApart = 4;

  // Of these queries, numbers within the block, and of their probes those in the range.
  ListVisits(const InvertedLists& lists, const Probes& probes, const QueryBlock& block,
             const std::vector<uint32_t>& queries, Range some_probes) {
    const auto each = [&](auto&& visit) {
      for (const uint32_t q : queries)
        visit_probes(lists, probes, block.first() + q, some_probes,
                     [&](int64_t list, int64_t rows) { visit(list, q, rows); });
    };
    if (queries.size() <= kApart) {
      each([&](int64_t list, uint32_t query, int64_t rows) { alone_.push_back({list, rows, query}); });
      for (const Alone& alone : alone_) visits_.push_back({alone.list, alone.rows, &alone.query, 1});
      return;
    }
    std::vector<int64_t> ends(size_t(lists.num_lists + 1), 0);
    each([&](int64_t list, uint32_t, int64_t) { ++ends[size_t(list) + 1]; });
    for (size_t list = 1; list < ends.size(); ++list) ends[list] += ends[list - 1];
    queries_.resize(size_t(ends.back()));
    std::vector<int64_t> next(ends.begin(), ends.end() - 1);
    each([&](int64_t list, uint32_t query, int64_t rows) {
      int64_t& at = next[size_t(list)];
      const bool again = at > ends[size_t(list)] && queries_[size_t(at - 1)] == query;
      if (again || rows < lists.sizes[list])
        alone_.push_back({list, rows, query});
      else
        queries_[size_t(at++)] = query;
    });
    for (int64_t list = 0; list < lists.num_lists; ++list) {
      const int64_t begin = ends[size_t(list)], count = next[size_t(list)] - begin;
      if (count) visits_.push_back({list, lists.sizes[list], queries_.data() + begin, count});
    }
    for (const Alone& alone : alone_) visits_.push_back({alone.list, alone.rows, &alone.query, 1});
  }
  ListVisits(const ListVisits&) = delete;
  ListVisits& operator=(const ListVisits&) = delete;

  const std::vector<ListVisit>& all() const { return visits_; }

 private:
  // A visit of one query: of a part of a list, of a list once more, or one of few.
  struct Alone {
    int64_t list, rows;
    uint32_t query;
  };

  std::vector<uint32_t> queries_;  // by list
  std::vector<Alone> alone_;
  std::vector<ListVisit> visits_;
};

}  // namespace fastret::cpu
