// The search of product-quantized rows. Where the instruction set looks up many bytes at once, a first pass
// adds tables of 8-bit levels, rounded down so that their sum bounds how good a row can be; only rows that
// could still be among the best are scored in float32. The result is that of scoring them all.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/code_primitives.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/found_rows.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/product_codes.h"
#include "kernels/cpu/query_block.h"

namespace fastret::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Queries whose tables and levels fit the second-level cache together share the lists that a thread reads.
constexpr int64_t kTableBytes = 1 << 20;
constexpr int64_t kMostBlockQueries = 256;
// Rows that are made ready at a time: a query's levels are then read from far away for many of them at once.
constexpr int64_t kPartBytes = 1 << 16;
constexpr int64_t kMostCodes = 65535 / 255;  // whose levels add up within 16 bits
constexpr int64_t kRowsPerEntry = 1;         // that levels of a table must save scoring, to be worth making
constexpr double kLargestMagnitude = 1e37;   // of sums that cannot overflow

// Codes of 4 bits are looked up as they are, others as bytes.
int first_pass_bits(int nbits) {
  return nbits == 4 ? 4 : 8;
}

int64_t levels_of_table(int64_t num_entries) {
  return num_entries == kNibbleLevels ? kNibbleLevels : kLevels;
}

// The tables of one query in levels. A table counts its entries from the best one down, in steps that all
// tables of the query share.
class Levels {
 public:
  Levels(const CodePrimitives& set, const ProductQueries& queries, int64_t query, int64_t num_codes,
         int64_t num_entries)
      : levels_(size_t(num_codes * levels_of_table(num_entries))) {
    const float* tables = queries.tables + query * queries.query_stride;
    std::vector<float> best(static_cast<size_t>(num_codes));
    float range = 0;
    for (int64_t m = 0; m < num_codes; ++m) {
      const Extent extent = set.extent(tables + m * queries.table_stride, num_entries);
      if (!extent.finite) return;
      best[size_t(m)] = queries.largest ? extent.largest : extent.smallest;
      range = std::max(range, extent.largest - extent.smallest);
      best_sum_ += queries.largest ? -double(extent.largest) : double(extent.smallest);
      magnitude_ += std::max(std::fabs(extent.smallest), std::fabs(extent.largest));
    }
    if (!(range <= std::numeric_limits<float>::max())) return;
    step_ = range / 255;
    const float scale = range > 0 ? 255 / range : 0;
    if (!std::isfinite(scale)) return;  // all tables all but constant
    for (int64_t m = 0; m < num_codes; ++m)
      set.quantise(tables + m * queries.table_stride, num_entries, best[size_t(m)],
                   queries.largest ? -scale : scale, &levels_[size_t(m * levels_of_table(num_entries))]);
    magnitude_ += double(num_codes) * range;
    usable_ = magnitude_ < kLargestMagnitude;
  }

  bool usable() const { return usable_; }
  const uint8_t* data() const { return levels_.data(); }
  float step() const { return step_; }

  // What (sum of levels) * step + (offset to minimise) of a row may be at most, for the row to reach a value.
  // An exact sum of M terms and the bound of it differ by less than (M + 16) 2^-22 of what they are made of:
  // M + 2 roundings of the score, two of each level, four of the bound.
  float limit(float value, double base, double largest_offset, int64_t num_codes) const {
    const double magnitude = magnitude_ + std::fabs(base) + largest_offset;
    const double limit = magnitude * double(num_codes + 16) * 0x1p-22 - double(value) - base - best_sum_;
    return float(limit + std::fabs(limit) * 0x1p-23);  // rounded, not below the limit
  }

 private:
  std::vector<uint8_t> levels_;  // [M, levels_of_table]
  double best_sum_ = 0, magnitude_ = 0;
  float step_ = 0;
  bool usable_ = false;
};

// Some rows of a list, made ready for the first pass in blocks of kBlockRows.
class ListPart {
 public:
  // For so many rows at most, or fewer.
  ListPart(const CodeLists& lists, bool largest, int64_t rows)
      : lists_(lists),
        sign_(largest ? -1.0f : 1.0f),
        bits_(first_pass_bits(lists.codes.nbits)),
        width_(bits_ == 4 ? lists.codes.code_size : lists.codes.num_codes),
        blocks_(std::clamp<int64_t>(kPartBytes / (kBlockRows * width_ + 1), 1,
                                    std::min<int64_t>(16, (rows + kBlockRows - 1) / kBlockRows))),
        block_(size_t(blocks_ * width_ * kBlockRows)),
        bytes_(lists.codes.nbits == bits_ ? 0 : size_t(width_ * kBlockRows)),
        offsets_(size_t(blocks_ * kBlockRows)) {}

  int64_t most_rows() const { return blocks_ * kBlockRows; }

  void load(const CodePrimitives& set, int64_t first, int64_t count) {
    const ProductCodes& codes = lists_.codes;
    for (int64_t i = 0; i < count; i += kBlockRows) {
      const int64_t rows_of_block = std::min<int64_t>(kBlockRows, count - i);
      const uint8_t* rows = codes.data + (first + i) * codes.code_size;
      if (codes.nbits != bits_) rows = as_bytes(rows, rows_of_block);
      set.transpose(rows, rows_of_block, width_, &block_[size_t(i * width_)]);
    }
    largest_offset_ = 0;
    for (int64_t i = 0; lists_.offsets && i < count; ++i) {
      offsets_[size_t(i)] = sign_ * lists_.offsets[first + i];
      // NaN is passed over: its rows are found neither with the first pass nor without.
      largest_offset_ = std::max(largest_offset_, std::fabs(offsets_[size_t(i)]));
    }
  }

  // From row `first` of the part on, a multiple of kBlockRows.
  const uint8_t* block(int64_t first) const { return &block_[size_t(first * width_)]; }
  const float* offsets(int64_t first) const { return &offsets_[size_t(first)]; }
  float largest_offset() const { return largest_offset_; }

 private:
  const uint8_t* as_bytes(const uint8_t* rows, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      BitReader reader(rows + i * lists_.codes.code_size, lists_.codes.nbits);
      for (int64_t m = 0; m < width_; ++m) bytes_[size_t(i * width_ + m)] = uint8_t(reader.next());
    }
    return bytes_.data();
  }

  const CodeLists& lists_;
  float sign_;
  int bits_;
  int64_t width_, blocks_;
  std::vector<uint8_t> block_;  // [blocks, width, kBlockRows]
  std::vector<uint8_t> bytes_;  // [kBlockRows, width]
  std::vector<float> offsets_;  // [blocks, kBlockRows]
  float largest_offset_ = 0;
};

struct Visit {
  int64_t probe;  // its rank among the query's
  int64_t list;
  int64_t query;
  int64_t rows;  // of the list, from its first on
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
        reaching_(first_pass_bits(lists.codes.nbits) == 4 ? set_.reaching_nibbles : set_.reaching_bytes),
        // Levels are made of 16 entries at a time.
        has_first_pass_(reaching_ && lists.codes.nbits >= 4 && lists.codes.nbits <= 8 &&
                        lists.codes.num_codes <= kMostCodes) {}

  void run(int64_t part_number, int64_t parts) {
    const std::vector<Visit> visits = visits_of_all();
    int64_t visited = 0, most = 0;
    for (const Visit& visit : visits) {
      visited += visit.rows;
      most = std::max(most, visit.rows);
    }
    std::vector<Levels> levels;
    std::optional<ListPart> rows;
    const int64_t entries = (mine_.end - mine_.begin) << lists_.codes.nbits;
    if (has_first_pass_ && visited > kRowsPerEntry * entries) {
      for (int64_t q = mine_.begin; q < mine_.end; ++q)
        levels.emplace_back(set_, queries_, q, lists_.codes.num_codes, int64_t(1) << lists_.codes.nbits);
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
        const bool bounded = rows && rows->largest_offset() < kLargestMagnitude;
        for (size_t v = begin; v < end; ++v) {
          const Levels* mine_levels = bounded ? &levels[size_t(visits[v].query - mine_.begin)] : nullptr;
          scan(visits[v], mine_levels && mine_levels->usable() ? mine_levels : nullptr, rows,
               lists_.starts[list] + first, std::min(count, visits[v].rows - first));
        }
      }
    }
  }

 private:
  // Nearest lists first, so that thresholds are good early; otherwise the queries of one list together.
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

  // The rows of the arena from `first` on.
  void scan(const Visit& visit, const Levels* levels, const std::optional<ListPart>& rows, int64_t first,
            int64_t count) {
    Found& found = found_[size_t(visit.query - mine_.begin)];
    const float base =
        queries_.base ? queries_.base[visit.query * queries_.probes_of_each + visit.probe] : 0.0f;
    if (!(std::fabs(base) < kLargestMagnitude)) levels = nullptr;
    uint64_t masks[kBlockRows / 64];
    std::fill(std::begin(masks), std::end(masks), ~uint64_t(0));
    float masks_of = NAN;  // the threshold that they were made with
    for (int64_t i = 0; i < count; i += 64) {
      if (levels && (i % kBlockRows == 0 || masks_of != found.threshold())) {
        const int64_t block = i / kBlockRows * kBlockRows;
        masks_of = found.threshold();
        reaching_(levels->data(), rows->block(block), lists_.codes.num_codes, rows->offsets(block),
                  levels->step(),
                  levels->limit(masks_of, queries_.largest ? -base : base, rows->largest_offset(),
                                lists_.codes.num_codes),
                  masks);
      }
      uint64_t mask = masks[i % kBlockRows / 64];
      if (count - i < 64) mask &= (uint64_t(1) << (count - i)) - 1;
      int64_t positions[64];
      int64_t kept = 0;
      for (; mask; mask &= mask - 1) {
        const int64_t position = first + i + __builtin_ctzll(mask);
        if (!lists_.allowed || lists_.allowed[position]) positions[kept++] = position;
      }
      if (kept)
        with_code_reader(lists_.codes.nbits, [&](auto reader_of) {
          score(reader_of, visit.query, base, positions, kept, found);
        });
    }
  }

  template <class ReaderOf>
  void score(ReaderOf reader_of, int64_t query, float base, const int64_t* positions, int64_t count,
             Found& found) {
    const ProductCodes& codes = lists_.codes;
    const float* tables = queries_.tables + query * queries_.query_stride;
    for (int64_t i = 0; i < count; i += kCodeRowsInFlight) {
      const int64_t size = std::min(kCodeRowsInFlight, count - i);
      const uint8_t* rows[kCodeRowsInFlight];
      for (int64_t j = 0; j < kCodeRowsInFlight; ++j)
        rows[j] = codes.data + positions[i + std::min(j, size - 1)] * codes.code_size;
      float sums[kCodeRowsInFlight];
      table_sums(reader_of, rows, codes.num_codes, tables, queries_.table_stride, sums);
      for (int64_t j = 0; j < size; ++j) {
        const int64_t position = positions[i + j];
        const float score = (sums[j] + (lists_.offsets ? lists_.offsets[position] : 0.0f)) + base;
        const float value = queries_.largest ? score : -score;
        if (!(value < found.threshold()))
          found.push({value, lists_.ids ? lists_.ids[position] : position, position});
      }
    }
  }

  const ProductQueries& queries_;
  const CodeLists& lists_;
  const CodePrimitives& set_;
  Range mine_;
  std::vector<Found>& found_;  // by query of mine
  Reaching* reaching_;
  bool has_first_pass_;
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
