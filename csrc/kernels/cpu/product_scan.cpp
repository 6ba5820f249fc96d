// The search of product-quantized rows. Where the instruction set looks up many bytes at once, a first pass
// adds tables of 8-bit levels, rounded down so that their sum bounds how good a row can be; only rows that
// could still be among the best are scored in float32. The result is that of scoring them all.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/found_rows.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/product_candidates.h"
#include "kernels/cpu/product_levels.h"
#include "kernels/cpu/query_block.h"

namespace fastret::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Queries whose tables and levels fit the second-level cache together share the lists that a thread reads.
constexpr int64_t kTableBytes = 1 << 20;
constexpr int64_t kMostBlockQueries = 256;
constexpr size_t kMostCandidates = 1 << 12;
constexpr int64_t kRowsPerEntry = 1;  // that levels of a table must save scoring, to be worth making

struct Visit {
  int64_t probe;  // its rank among the query's
  int64_t list;
  int64_t query;
  int64_t rows;  // of the list, from its first on
};

// What the first pass knows of one query.
struct FirstPassQuery {
  Levels levels;
  WaitingRows candidates;  // bounds are less the best entries of all tables, and exact up to roundings
  float extent = 0;        // the largest of base and offset that their bounds hold
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
        found_(found),
        sum_levels_(first_pass_bits(lists.codes.nbits) == 4 ? set_.sum_nibbles : set_.sum_bytes),
        // Levels are made of 16 entries at a time.
        has_first_pass_(sum_levels_ && lists.codes.nbits >= 4 && lists.codes.nbits <= 8 &&
                        lists.codes.num_codes <= kMostCodes) {}

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
      make_levels();
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
          if (rows && rows->largest_offset() < kLargestMagnitude &&
              first_pass_of(visit.query).levels.usable() &&
              std::fabs(base_of(visit.query, visit.probe)) < kLargestMagnitude)
            find_candidates(visit, *rows, lists_.starts[list] + first, mine_of_visit);
          else
            score_all(visit, lists_.starts[list] + first, mine_of_visit);
        }
      }
    }
    for (int64_t q = mine_.begin; rows && q < mine_.end; ++q) {
      score_best(q);
      score_rest(q);
    }
  }

 private:
  Found& found_of(int64_t query) { return found_[size_t(query - mine_.begin)]; }
  FirstPassQuery& first_pass_of(int64_t query) { return first_pass_[size_t(query - mine_.begin)]; }

  float base_of(int64_t query, int64_t probe) const {
    return queries_.base ? queries_.base[query * queries_.probes_of_each + probe] : 0.0f;
  }

  bool allows(int64_t position) const { return !lists_.allowed || lists_.allowed[position]; }

  void make_levels() {
    most_candidates_ = std::min(4 * found_[0].wanted() + 64, kMostCandidates);
    const size_t room = most_candidates_ + 64;  // which are pushed before they are counted again
    bounds_.reset(new float[found_.size() * room]);
    candidates_.reset(new VisitedRow[found_.size() * room]);
    for (size_t i = 0; i < found_.size(); ++i)
      first_pass_.push_back({Levels(set_, queries_, mine_.begin + int64_t(i), lists_.codes.num_codes,
                                    int64_t(1) << lists_.codes.nbits),
                             WaitingRows(bounds_.get() + i * room, candidates_.get() + i * room)});
  }

  // Nearest lists first, so that thresholds are good early; otherwise the queries of one list together.
  std::vector<Visit> visits_of_all() const {
    std::vector<Visit> visits;
    int64_t most = 0;
    for (int64_t q = mine_.begin; q < mine_.end; ++q) {
      int64_t left = queries_.max_rows ? queries_.max_rows : std::numeric_limits<int64_t>::max();
      for (int64_t p = 0; p < queries_.probes_of_each; ++p) {
        const int64_t list = queries_.probes[q * queries_.probes_of_each + p];
        if (list < 0) continue;
        const int64_t rows = std::min(left, lists_.sizes[list]);
        left -= rows;
        most = std::max(most, list);
        if (rows) visits.push_back({p, list, q, rows});
      }
    }
    const auto order = [&](const Visit& visit) { return visit.list + (visit.probe > 0 ? most + 1 : 0); };
    std::vector<Visit> sorted(visits.size());
    for (int shift = 0; (2 * most + 1) >> shift; shift += 8) {  // by one digit after another
      std::array<size_t, 257> starts{};
      for (const Visit& visit : visits) ++starts[size_t(order(visit) >> shift & 255) + 1];
      std::partial_sum(starts.begin(), starts.end(), starts.begin());
      for (const Visit& visit : visits) sorted[starts[size_t(order(visit) >> shift & 255)]++] = visit;
      visits.swap(sorted);
    }
    return visits;
  }

  // Of rows of the arena from `first` on: those that may reach the threshold.
  void find_candidates(const Visit& visit, const ListPart& rows, int64_t first, int64_t count) {
    FirstPassQuery& query = first_pass_of(visit.query);
    const Found& found = found_of(visit.query);
    const Levels& levels = query.levels;
    const float base = base_of(visit.query, visit.probe), signed_base = queries_.largest ? -base : base;
    query.extent = std::max(query.extent, std::fabs(base) + rows.largest_offset());
    for (int64_t begin = 0; begin < count; begin += kBlockRows) {
      const int64_t size = std::min<int64_t>(kBlockRows, count - begin);
      const float* offsets = lists_.offsets ? rows.offsets(begin) : nullptr;
      sum_levels_(levels.data(), rows.block(begin), lists_.codes.num_codes, size, sums_);
      uint64_t masks[kBlockRows / 64];
      float masks_of = NAN;  // the threshold that they were made with
      for (int64_t i = 0; i < size; i += 64) {
        if (masks_of != found.threshold()) {
          masks_of = found.threshold();
          reach(levels, offsets,
                levels.limit(masks_of, signed_base, rows.largest_offset(), lists_.codes.num_codes), masks);
        }
        uint64_t mask = masks[i / 64];
        if (size - i < 64) mask &= (uint64_t(1) << (size - i)) - 1;
        for (; mask; mask &= mask - 1) {
          const int64_t row = i + __builtin_ctzll(mask), position = first + begin + row;
          if (!allows(position)) continue;
          const float bound =
              float(sums_[row]) * levels.step() + (offsets ? offsets[row] : 0.0f) + signed_base;
          query.candidates.push(bound, {position, visit.probe});
        }
        if (query.candidates.size() < most_candidates_) continue;
        score_best(visit.query);
        if (query.candidates.size() > most_candidates_ / 2) score_rest(visit.query);
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

  // Scores the best candidates, at least as many as are wanted, and drops those that fall short of them.
  void score_best(int64_t number) {
    FirstPassQuery& query = first_pass_of(number);
    query.candidates.take_best(found_of(number).wanted(), scored_);
    score(number, scored_.data(), int64_t(scored_.size()));
    found_of(number).settle();
    query.candidates.drop_beyond(
        query.levels.limit(found_of(number).threshold(), 0, query.extent, lists_.codes.num_codes));
  }

  void score_rest(int64_t number) {
    first_pass_of(number).candidates.take_all(scored_);
    score(number, scored_.data(), int64_t(scored_.size()));
    found_of(number).settle();
  }

  void score_all(const Visit& visit, int64_t first, int64_t count) {
    VisitedRow rows[64];
    int64_t size = 0;
    for (int64_t position = first; position < first + count; ++position) {
      if (allows(position)) rows[size++] = {position, visit.probe};
      if (size < 64 && position + 1 < first + count) continue;
      score(visit.query, rows, size);
      size = 0;
    }
  }

  void score(int64_t query, const VisitedRow* rows, int64_t count) {
    const ProductCodes& codes = lists_.codes;
    const float* tables = queries_.tables + query * queries_.query_stride;
    float sums[kBlockRows];
    for (int64_t i = 0; i < count; i += kBlockRows) {
      const int64_t size = std::min<int64_t>(kBlockRows, count - i);
      if (codes.nbits == 4 && set_.score_nibbles) {
        gathered_.resize(size_t(2 * kBlockRows * codes.code_size));
        uint8_t *joined = gathered_.data(), *block = joined + kBlockRows * codes.code_size;
        for (int64_t j = 0; j < size; ++j)
          std::memcpy(joined + j * codes.code_size, codes.data + rows[i + j].position * codes.code_size,
                      size_t(codes.code_size));
        set_.transpose(joined, size, codes.code_size, block);
        set_.score_nibbles(tables, queries_.table_stride, block, codes.num_codes, size, sums);
      } else {
        with_code_reader(codes.nbits, [&](auto reader_of) {
          for (int64_t j = 0; j < size; j += kCodeRowsInFlight) {
            const uint8_t* codes_of[kCodeRowsInFlight];
            for (int64_t n = 0; n < kCodeRowsInFlight; ++n)
              codes_of[n] = codes.data + rows[i + std::min(j + n, size - 1)].position * codes.code_size;
            table_sums(reader_of, codes_of, codes.num_codes, tables, queries_.table_stride, sums + j);
          }
        });
      }
      for (int64_t j = 0; j < size; ++j) find(query, rows[i + j], sums[j]);
    }
  }

  void find(int64_t query, const VisitedRow& row, float sum) {
    Found& found = found_of(query);
    const int64_t position = row.position;
    const float score =
        (sum + (lists_.offsets ? lists_.offsets[position] : 0.0f)) + base_of(query, row.probe);
    const float value = queries_.largest ? score : -score;
    if (!(value < found.threshold()))
      found.push({value, lists_.ids ? lists_.ids[position] : position, position});
  }

  const ProductQueries& queries_;
  const CodeLists& lists_;
  const CodePrimitives& set_;
  Range mine_;
  std::vector<Found>& found_;               // by query of mine
  std::vector<FirstPassQuery> first_pass_;  // as well, if there is a first pass
  size_t most_candidates_ = 0;
  std::unique_ptr<float[]> bounds_;
  std::unique_ptr<VisitedRow[]> candidates_;
  SumLevels* sum_levels_;
  bool has_first_pass_;
  std::vector<VisitedRow> scored_;
  std::vector<uint8_t> gathered_;
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
  int64_t blocks = (queries.count + block - 1) / block;
  if (blocks > parallel.num_threads) blocks += parallel.num_threads - 1 - (blocks - 1) % parallel.num_threads;
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
