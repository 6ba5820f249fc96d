// The search of product-quantized rows. Where the instruction set looks up many
// bytes at once, a first pass adds tables of 8-bit levels, rounded down so that
// their sum bounds how good a row can be; only rows that could still be among
// the best are scored in float32. The result is that of scoring them all.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/found_rows.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/product_levels.h"
#include "kernels/cpu/query_block.h"

namespace fastret::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Queries whose tables and levels fit the second-level cache together share the
// lists that a thread reads.
constexpr int64_t kTableBytes = 1 << 20;
constexpr int64_t kMostBlockQueries = 256;
constexpr int64_t kRowsPerEntry = 1;  // that levels of a table must save scoring, to be worth making

struct Visit {
  int64_t probe;  // its rank among the query's
  int64_t list;
  int64_t query;
  int64_t rows;  // of the list, from its first on
};

// A row that may be among the best.
struct Candidate {
  float bound;  // of its score to minimise, less the best entries of all tables;
                // up to roundings
  int32_t probe;
  int64_t position;
};

// What is known of one query.
template <class Found>
struct Query {
  Found* found;
  std::optional<Levels> levels;
  std::vector<Candidate> candidates;
  float extent = 0;  // the largest of base and offset that their bounds hold
};

// Some queries with one part of each list that they probe.
template <class Found>
class Scan {
 public:
  Scan(const ProductQueries& queries, const CodeLists& lists, Range mine, std::vector<Found>& found)
      : queries_(queries),
        lists_(lists),
        set_(*primitives().codes),
        mine_(mine),
        sum_levels_(first_pass_bits(lists.codes.nbits) == 4 ? set_.sum_nibbles : set_.sum_bytes),
        // Levels are made of 16 entries at a time.
        has_first_pass_(sum_levels_ && lists.codes.nbits >= 4 && lists.codes.nbits <= 8 &&
                        lists.codes.num_codes <= kMostCodes) {
    for (Found& rows : found) queries_of_mine_.push_back({&rows, {}, {}});
  }

  void run(int64_t part_number, int64_t parts) {
    const std::vector<Visit> visits = visits_of_all();
    int64_t visited = 0, most = 0;
    for (const Visit& visit : visits) {
      visited += visit.rows;
      most = std::max(most, visit.rows);
    }
    std::optional<ListPart> rows;
    const int64_t entries = (mine_.end - mine_.begin) << lists_.codes.nbits;
    if (has_first_pass_ && visited > kRowsPerEntry * entries) {
      for (int64_t q = mine_.begin; q < mine_.end; ++q)
        of(q).levels.emplace(set_, queries_, q, lists_.codes.num_codes, int64_t(1) << lists_.codes.nbits);
      rows.emplace(lists_, queries_.largest, most);
    }
    const int64_t together = rows ? rows->most_rows() : most;
    for (size_t begin = 0, end = 0; begin < visits.size(); begin = end) {
      while (end < visits.size() && visits[end].list == visits[begin].list) ++end;
      const int64_t list = visits[begin].list;
      const Range mine = part(lists_.sizes[list], part_number, parts);
      for (int64_t first = mine.begin; first < mine.end; first += together) {
        const int64_t count = std::min(together, mine.end - first);
        if (rows) rows->load(set_, lists_.starts[list] + first, count);
        for (size_t v = begin; v < end; ++v) {
          const Visit& visit = visits[v];
          const int64_t mine_of_visit = std::min(count, visit.rows - first);
          if (rows && rows->largest_offset() < kLargestMagnitude && of(visit.query).levels->usable() &&
              std::fabs(base_of(visit.query, visit.probe)) < kLargestMagnitude)
            find_candidates(visit, *rows, lists_.starts[list] + first, mine_of_visit);
          else
            score_all(visit, lists_.starts[list] + first, mine_of_visit);
        }
      }
    }
    for (int64_t q = mine_.begin; q < mine_.end; ++q)
      if (!of(q).candidates.empty()) {
        score_best(q);
        score_candidates(q, of(q).candidates.size());
      }
  }

 private:
  Query<Found>& of(int64_t query) { return queries_of_mine_[size_t(query - mine_.begin)]; }

  float base_of(int64_t query, int64_t probe) const {
    return queries_.base ? queries_.base[query * queries_.probes_of_each + probe] : 0.0f;
  }

  bool allows(int64_t position) const { return !lists_.allowed || lists_.allowed[position]; }

  // Nearest lists first, so that thresholds are good early; otherwise the
  // queries of one list together.
  std::vector<Visit> visits_of_all() const {
    std::vector<Visit> visits;
    for (int64_t q = mine_.begin; q < mine_.end; ++q) {
      int64_t left = queries_.max_rows ? queries_.max_rows : std::numeric_limits<int64_t>::max();
      for (int64_t p = 0; p < queries_.probes_of_each; ++p) {
        const int64_t list = queries_.probes[q * queries_.probes_of_each + p];
        if (list < 0) continue;
        const int64_t rows = std::min(left, lists_.sizes[list]);
        left -= rows;
        if (rows) visits.push_back({p, list, q, rows});
      }
    }
    std::sort(visits.begin(), visits.end(), [](const Visit& a, const Visit& b) {
      if ((a.probe > 0) != (b.probe > 0)) return a.probe == 0;
      return a.list != b.list ? a.list < b.list : a.query != b.query ? a.query < b.query : a.probe < b.probe;
    });
    return visits;
  }

  // Of rows of the arena from `first` on: those that may reach the threshold.
  void find_candidates(const Visit& visit, const ListPart& rows, int64_t first, int64_t count) {
    Query<Found>& query = of(visit.query);
    const Levels& levels = *query.levels;
    const float base = base_of(visit.query, visit.probe), lost = queries_.largest ? -base : base;
    const size_t most = 4 * query.found->wanted() + 64;
    query.extent = std::max(query.extent, std::fabs(base) + rows.largest_offset());
    for (int64_t begin = 0; begin < count; begin += kBlockRows) {
      const int64_t size = std::min<int64_t>(kBlockRows, count - begin);
      const float* offsets = lists_.offsets ? rows.offsets(begin) : nullptr;
      sum_levels_(levels.data(), rows.block(begin), lists_.codes.num_codes, size, sums_);
      uint64_t masks[kBlockRows / 64];
      float masks_of = NAN;  // the threshold that they were made with
      for (int64_t i = 0; i < size; i += 64) {
        if (masks_of != query.found->threshold()) {
          masks_of = query.found->threshold();
          reach(levels, offsets, levels.limit(masks_of, lost, rows.largest_offset(), lists_.codes.num_codes),
                masks);
        }
        uint64_t mask = masks[i / 64];
        if (size - i < 64) mask &= (uint64_t(1) << (size - i)) - 1;
        for (; mask; mask &= mask - 1) {
          const int64_t row = i + __builtin_ctzll(mask), position = first + begin + row;
          if (!allows(position)) continue;
          const float bound = float(sums_[row]) * levels.step() + (offsets ? offsets[row] : 0.0f) + lost;
          query.candidates.push_back({bound, int32_t(visit.probe), position});
        }
        if (query.candidates.size() < most) continue;
        score_best(visit.query);
        if (query.candidates.size() > most / 2) score_candidates(visit.query, query.candidates.size());
      }
    }
  }

  // Bit i of masks[i / 64]: sums_[i] * step + offset i <= limit.
  void reach(const Levels& levels, const float* offsets, float limit, uint64_t* masks) const {
    if (offsets) return set_.reaching(sums_, offsets, levels.step(), limit, masks);
    if (!(limit >= 0)) return (void)std::fill_n(masks, kBlockRows / 64, uint64_t(0));
    const float steps = limit / levels.step();  // may be rounded down
    set_.at_most(sums_, steps < 65534 ? uint16_t(steps + 1) : uint16_t(65535), masks);
  }

  // Scores the best candidates, as many as are wanted, and drops those that
  // fall short of them.
  void score_best(int64_t number) {
    Query<Found>& query = of(number);
    std::vector<Candidate>& all = query.candidates;
    const size_t wanted = std::min(query.found->wanted(), all.size());
    if (wanted < all.size())
      std::nth_element(all.begin(), all.begin() + int64_t(wanted), all.end(),
                       [](const Candidate& a, const Candidate& b) { return a.bound < b.bound; });
    score_candidates(number, wanted);
    const float limit =
        query.levels->limit(query.found->threshold(), 0, query.extent, lists_.codes.num_codes);
    all.erase(std::remove_if(all.begin(), all.end(), [&](const Candidate& c) { return !(c.bound <= limit); }),
              all.end());
  }

  // The first of them, which then are none any more.
  void score_candidates(int64_t number, size_t count) {
    Query<Found>& query = of(number);
    score(number, query.candidates.data(), int64_t(count));
    query.found->settle();
    query.candidates.erase(query.candidates.begin(), query.candidates.begin() + int64_t(count));
  }

  void score_all(const Visit& visit, int64_t first, int64_t count) {
    Candidate rows[64];
    int64_t size = 0;
    for (int64_t position = first; position < first + count; ++position) {
      if (allows(position)) rows[size++] = {0, int32_t(visit.probe), position};
      if (size < 64 && position + 1 < first + count) continue;
      score(visit.query, rows, size);
      size = 0;
    }
  }

  void score(int64_t query, const Candidate* rows, int64_t count) {
    with_code_reader(lists_.codes.nbits, [&](auto reader_of) {
      const ProductCodes& codes = lists_.codes;
      const float* tables = queries_.tables + query * queries_.query_stride;
      Found& found = *of(query).found;
      for (int64_t i = 0; i < count; i += kCodeRowsInFlight) {
        const int64_t size = std::min(kCodeRowsInFlight, count - i);
        const uint8_t* codes_of[kCodeRowsInFlight];
        for (int64_t j = 0; j < kCodeRowsInFlight; ++j)
          codes_of[j] = codes.data + rows[i + std::min(j, size - 1)].position * codes.code_size;
        float sums[kCodeRowsInFlight];
        table_sums(reader_of, codes_of, codes.num_codes, tables, queries_.table_stride, sums);
        for (int64_t j = 0; j < size; ++j) {
          const int64_t position = rows[i + j].position;
          const float score = (sums[j] + (lists_.offsets ? lists_.offsets[position] : 0.0f)) +
                              base_of(query, rows[i + j].probe);
          const float value = queries_.largest ? score : -score;
          if (!(value < found.threshold()))
            found.push({value, lists_.ids ? lists_.ids[position] : position, position});
        }
      }
    });
  }

  const ProductQueries& queries_;
  const CodeLists& lists_;
  const CodePrimitives& set_;
  Range mine_;
  std::vector<Query<Found>> queries_of_mine_;
  SumLevels* sum_levels_;
  bool has_first_pass_;
  uint16_t sums_[kBlockRows] = {};  // of levels, of the rows that are looked at
};

// Calls finish(query, found) for every query, from several threads.
template <class Found, class Finish>
void scan_all(const ProductQueries& queries, const CodeLists& lists, const Found& nothing,
              const Parallel& parallel, Finish&& finish) {
  const int64_t entries = int64_t(1) << lists.codes.nbits;
  const int64_t query_bytes =
      lists.codes.num_codes * (entries * int64_t(sizeof(float)) + levels_of_table(entries));
  const int64_t fitting = std::clamp(kTableBytes / (query_bytes + 1), int64_t(1), kMostBlockQueries);
  const int64_t shared = (queries.count + parallel.num_threads - 1) / parallel.num_threads;
  const int64_t block = std::max<int64_t>(1, std::min(fitting, shared));
  const int64_t blocks = (queries.count + block - 1) / block;
  if (blocks >= parallel.num_threads) {
    parallel(blocks, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t b = begin; b < end; ++b) {
        const Range mine = part(queries.count, b, blocks);
        std::vector<Found> found(size_t(mine.end - mine.begin), nothing);
        Scan<Found>(queries, lists, mine, found).run(0, 1);
        for (int64_t q = mine.begin; q < mine.end; ++q) finish(q, found[size_t(q - mine.begin)]);
      }
    });
    return;
  }
  // Fewer queries than threads: each takes a part of every list.
  const int64_t parts = parallel.num_threads;
  std::vector<std::vector<Found>> found(size_t(parts), std::vector<Found>(size_t(queries.count), nothing));
  parallel(parts, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t p = begin; p < end; ++p)
      Scan<Found>(queries, lists, {0, queries.count}, found[size_t(p)]).run(p, parts);
  });
  for (int64_t q = 0; q < queries.count; ++q) {
    for (int64_t p = 1; p < parts; ++p) found[0][size_t(q)].merge(found[size_t(p)][size_t(q)]);
    finish(q, found[0][size_t(q)]);
  }
}

}  // namespace

void product_search(const ProductSearchParams& p, const Parallel& parallel) {
  scan_all(p.queries, p.lists, BestRows(p.k), parallel, [&](int64_t query, BestRows& best) {
    const std::vector<FoundRow>& rows = best.sorted();
    for (int64_t i = 0; i < p.k; ++i) {
      const bool there = i < int64_t(rows.size());
      const FoundRow row = there ? rows[size_t(i)] : FoundRow{-kInfinity, -1, -1};
      p.scores[query * p.k + i] = p.queries.largest ? row.value : -row.value;
      p.positions[query * p.k + i] = row.position;
    }
  });
}

RangeFound product_range_search(const ProductRangeParams& p, const Parallel& parallel) {
  const float threshold = p.queries.largest ? p.threshold : -p.threshold;
  std::vector<std::vector<FoundRow>> rows(static_cast<size_t>(p.queries.count));
  scan_all(p.queries, p.lists, RowsAbove(threshold), parallel,
           [&](int64_t query, RowsAbove& above) { rows[size_t(query)] = above.sorted(); });
  RangeFound all;
  all.lims.push_back(0);
  for (const auto& mine : rows) {
    for (const FoundRow& row : mine) {
      all.scores.push_back(p.queries.largest ? row.value : -row.value);
      all.ids.push_back(row.position);
    }
    all.lims.push_back(int64_t(all.ids.size()));
  }
  return all;
}

}  // namespace fastret::cpu
