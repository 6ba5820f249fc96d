// Exact search: a float32 first pass keeps what the error bound cannot exclude, and only that is scored
// canonically. Scores never form a Q x N matrix: each tile is filtered against the rising thresholds of its
// queries.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/candidates.h"
#include "kernels/cpu/first_pass.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kBlockBytes = 320 << 10;      // of packed keys: they stay in the second-level cache
constexpr int64_t kCandidateBytes = 128 << 20;  // of candidates held at once, by the queries of a block
constexpr int64_t kFewQueries = 3;              // so few read each key once: packing would not pay

struct Query {
  double square = 0;  // canonical
  float norm = 0;     // of the error bound
  double extra = 0;
};

struct Range {
  int64_t begin, end;
};

Range part(int64_t count, int64_t index, int64_t parts) {
  return {count * index / parts, count * (index + 1) / parts};
}

// A block of queries against all keys.
class BlockSearch {
 public:
  BlockSearch(const SearchParams& params, const Parallel& parallel, const std::vector<float>& centre,
              Range queries)
      : p_(params),
        parallel_(parallel),
        isa_(primitives()),
        centre_(centre),
        centre_norm_(std::sqrt(canonical_square(centre.data(), params.keys.dim))),
        bound_(params.metric, params.keys.dim, centre_norm_),
        queries_(queries),
        reader_(slice(params.queries, queries), queries.end - queries.begin),
        states_(size_t(queries.end - queries.begin)) {}

  void run() {
    prepare();
    if (!bounded_.empty()) first_pass();
    if (!exact_.empty()) score_everything();
    finish();
  }

 private:
  int64_t num_queries() const { return queries_.end - queries_.begin; }

  static Rows slice(const Rows& rows, Range range) {
    const int64_t element_bytes = rows.dtype == DType::f32 ? 4 : 2;
    const char* data = static_cast<const char*>(rows.data) + range.begin * rows.row_stride * element_bytes;
    return {data, range.end - range.begin, rows.dim, rows.row_stride, rows.dtype};
  }

  // Widens the queries and decides how each is answered: with the first pass, or exactly from the start.
  void prepare() {
    float_queries_.resize(size_t(num_queries()));
    parallel_(num_queries(), [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t q = begin; q < end; ++q) {
        const float* query = reader_.read(q, q);
        float_queries_[size_t(q)] = query;
        states_[size_t(q)].square = canonical_square(query, p_.keys.dim);
      }
    });
    for (int64_t q = 0; q < num_queries(); ++q) {
      const double square = states_[size_t(q)].square;
      if (std::isnan(square)) continue;  // all its scores are NaN: no neighbours
      const bool bounded =
          p_.queries.rows > kFewQueries && p_.keys.dim <= kDimLimit && fits_first_pass(square);
      (bounded ? bounded_ : exact_).push_back(q);
    }
  }

  // Packs the bounded queries in groups of a tile, [D, group] each.
  void pack_queries() {
    const int64_t dim = p_.keys.dim, count = int64_t(bounded_.size());
    const int64_t groups = (count + isa_.tile_queries - 1) / isa_.tile_queries;
    packed_queries_.resize(size_t(count * dim));
    for (int64_t g = 0; g <= groups; ++g) group_starts_.push_back(part(count, g, groups).begin);
    const std::vector<float> origin(size_t(dim), 0.0f);
    parallel_(groups, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      std::vector<float> centred(size_t(dim), 0.0f);
      for (int64_t g = begin; g < end; ++g) {
        const int64_t first = group_starts_[size_t(g)], size = group_starts_[size_t(g) + 1] - first;
        float* packed = packed_queries_.data() + first * dim;
        for (int64_t r = 0; r < size; ++r) {
          const int64_t q = bounded_[size_t(first + r)];
          Query& state = states_[size_t(q)];
          const auto& shift = p_.metric == Metric::l2 ? centre_ : origin;
          const double square =
              isa_.centre_row(float_queries_[size_t(q)], 1.0, shift.data(), dim, centred.data());
          state.norm = bound_.query_norm(std::sqrt(state.square), std::sqrt(square));
          state.extra = bound_.query_extra(state.norm);
          for (int64_t d = 0; d < dim; ++d) packed[d * size + r] = centred[size_t(d)];
        }
      }
    });
  }

  void first_pass() {
    pack_queries();
    // Split by keys where each part is large (they are packed once), else by queries.
    const int64_t threads = parallel_.num_threads, groups = int64_t(group_starts_.size()) - 1;
    key_parts_ = p_.keys.rows >= threads * std::max<int64_t>(4096, 32 * p_.k) ? threads : 1;
    const int64_t query_parts = std::clamp<int64_t>(threads / key_parts_, 1, groups);
    candidates_.assign(size_t(key_parts_) * bounded_.size(), Candidates(p_.k));
    unbounded_keys_.assign(size_t(key_parts_), {});
    parallel_(key_parts_ * query_parts, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t task = begin; task < end; ++task)
        scan(task % key_parts_, part(groups, task / key_parts_, query_parts));
    });

    const int64_t count = int64_t(bounded_.size());
    parallel_(count, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      std::vector<float> lowers;
      for (int64_t b = begin; b < end; ++b) {
        Candidates& merged = candidates_[size_t(b)];
        for (int64_t part = 1; part < key_parts_; ++part) merged.merge(candidates_[size_t(part * count + b)]);
        merged.tighten(lowers);
      }
    });
    for (int64_t b = 0; b < count; ++b)
      if (candidates_[size_t(b)].overflowed()) exact_.push_back(bounded_[size_t(b)]);
    for (int64_t part = 1; part < key_parts_; ++part)
      unbounded_keys_[0].insert(unbounded_keys_[0].end(), unbounded_keys_[size_t(part)].begin(),
                                unbounded_keys_[size_t(part)].end());
  }

  // Groups of queries against one part of the keys.
  void scan(int64_t key_part, Range groups) {
    const Range keys = part(p_.keys.rows, key_part, key_parts_);
    const int64_t panel_bytes = isa_.tile_keys * std::max<int64_t>(1, p_.keys.dim) * 4;
    const int64_t block_keys =
        std::clamp<int64_t>(kBlockBytes / panel_bytes, 1, (keys.end - keys.begin) / isa_.tile_keys + 1) *
        isa_.tile_keys;
    KeyBlock block(isa_, p_, centre_, bound_, block_keys);
    // The query parts of a key part meet the same unbounded keys: the first one reports them.
    std::vector<int64_t> ignored;
    std::vector<int64_t>& unbounded = groups.begin == 0 ? unbounded_keys_[size_t(key_part)] : ignored;
    std::vector<float> lowers;
    Candidates* candidates = candidates_.data() + size_t(key_part) * bounded_.size();
    for (int64_t begin = keys.begin; begin < keys.end; begin += block_keys) {
      block.pack(begin, std::min(keys.end, begin + block_keys), unbounded);
      for (int64_t g = groups.begin; g < groups.end; ++g)
        for (int64_t panel = 0; panel < block.num_panels(); ++panel)
          scan_tile(block, panel, g, candidates, lowers);
    }
  }

  void scan_tile(const KeyBlock& block, int64_t panel, int64_t group, Candidates* candidates,
                 std::vector<float>& lowers) const {
    alignas(64) float dots[kMaxTileQueries * kMaxTileKeys];
    alignas(64) float uppers[kMaxTileKeys];
    const int64_t first = group_starts_[size_t(group)];
    const int size = int(group_starts_[size_t(group) + 1] - first);
    isa_.dot_tile(packed_queries_.data() + first * p_.keys.dim, size, block.panel(panel), p_.keys.dim, dots);
    for (int r = 0; r < size; ++r) {
      Candidates& mine = candidates[first + r];
      const Query& query = states_[size_t(bounded_[size_t(first + r)])];
      uint32_t mask = isa_.filter(dots + r * isa_.tile_keys, query.norm, block.slopes(panel),
                                  block.offsets(panel), mine.threshold(), uppers);
      for (; mask; mask &= mask - 1) {
        const int i = __builtin_ctz(mask);
        if (uppers[i] == -std::numeric_limits<float>::infinity()) continue;  // a place without a bounded key
        const double width = 2 * (block.half_width(panel, i, query.norm) + query.extra);
        mine.push({uppers[i], round_down(uppers[i] - width), block.first_key(panel) + i});
      }
      if (mine.full()) mine.tighten(lowers);
    }
  }

  static float round_down(double value) {
    return std::nextafterf(float(value), -std::numeric_limits<float>::infinity());
  }

  // Every key, scored canonically, for the queries without a useful bound.
  void score_everything() {
    const int64_t dim = p_.keys.dim, count = int64_t(exact_.size());
    const int64_t block_keys =
        std::clamp<int64_t>(kBlockBytes / std::max<int64_t>(1, dim * 4), kRowsPerCall, 4096);
    exact_parts_ = std::clamp<int64_t>(p_.keys.rows / block_keys, 1, parallel_.num_threads);
    exact_best_.assign(size_t(exact_parts_ * count), ExactBest(p_.k));
    parallel_(exact_parts_, [&](int64_t task_begin, int64_t task_end) {
      const DefaultFloatEnvironment environment;
      RowReader reader(p_.keys, block_keys);
      std::vector<const float*> rows(size_t(block_keys), nullptr);
      float scores[kRowsPerCall];
      for (int64_t task = task_begin; task < task_end; ++task) {
        const Range keys = part(p_.keys.rows, task, exact_parts_);
        for (int64_t first = keys.begin; first < keys.end; first += block_keys) {
          const int64_t last = std::min(keys.end, first + block_keys);
          for (int64_t key = first; key < last; ++key)
            rows[size_t(key - first)] = reader.read(key, key - first);
          for (int64_t e = 0; e < count; ++e) {
            ExactBest& best = exact_best_[size_t(task * count + e)];
            const int64_t q = exact_[size_t(e)];
            for (int64_t key = first; key < last; key += kRowsPerCall) {
              const int size = int(std::min<int64_t>(kRowsPerCall, last - key));
              score_keys(p_.metric, float_queries_[size_t(q)], states_[size_t(q)].square,
                         rows.data() + (key - first), size, dim, scores);
              for (int r = 0; r < size; ++r) best.push(rank_value(p_.metric, scores[r]), key + r);
            }
          }
        }
      }
    });
  }

  void finish() {
    parallel_(num_queries(), [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t q = begin; q < end; ++q) write(q, {});
    });
    parallel_(int64_t(bounded_.size()), [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      RowReader reader(p_.keys, kRowsPerCall);
      for (int64_t b = begin; b < end; ++b)
        if (!candidates_[size_t(b)].overflowed())
          rescore(bounded_[size_t(b)], candidates_[size_t(b)], reader);
    });
    const int64_t count = int64_t(exact_.size());
    parallel_(count, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t e = begin; e < end; ++e) {
        ExactBest& best = exact_best_[size_t(e)];
        for (int64_t task = 1; task < exact_parts_; ++task) best.merge(exact_best_[size_t(task * count + e)]);
        write(exact_[size_t(e)], best.sorted());
      }
    });
  }

  void rescore(int64_t q, const Candidates& candidates, RowReader& reader) {
    std::vector<int64_t> ids = unbounded_keys_[0];
    for (const Candidate& c : candidates.items()) ids.push_back(c.id);
    std::sort(ids.begin(), ids.end());
    ExactBest best(p_.k);
    for (size_t first = 0; first < ids.size(); first += kRowsPerCall) {
      const int size = int(std::min<size_t>(kRowsPerCall, ids.size() - first));
      const float* rows[kRowsPerCall];
      float scores[kRowsPerCall];
      for (int r = 0; r < size; ++r) rows[r] = reader.read(ids[first + size_t(r)], r);
      score_keys(p_.metric, float_queries_[size_t(q)], states_[size_t(q)].square, rows, size, p_.keys.dim,
                 scores);
      for (int r = 0; r < size; ++r) best.push(rank_value(p_.metric, scores[r]), ids[first + size_t(r)]);
    }
    write(q, best.sorted());
  }

  void write(int64_t q, const std::vector<ExactBest::Entry>& best) {
    const float nothing = -std::numeric_limits<float>::infinity();
    for (int64_t j = 0; j < p_.k; ++j) {
      const int64_t at = (queries_.begin + q) * p_.k + j;
      const bool found = j < int64_t(best.size());
      // rank_value is its own inverse; + 0 keeps a zero distance from turning into -0.
      p_.scores[at] = rank_value(p_.metric, found ? best[size_t(j)].value : nothing) + 0.0f;
      p_.ids[at] = found ? best[size_t(j)].id : -1;
    }
  }

  const SearchParams& p_;
  const Parallel& parallel_;
  const Primitives& isa_;
  const std::vector<float>& centre_;
  double centre_norm_;
  ErrorBound bound_;
  Range queries_;
  RowReader reader_;
  std::vector<Query> states_;
  std::vector<const float*> float_queries_;

  std::vector<int64_t> bounded_, exact_;  // queries by how they are answered
  std::vector<float> packed_queries_;
  std::vector<int64_t> group_starts_;  // in bounded_
  int64_t key_parts_ = 1, exact_parts_ = 1;
  std::vector<Candidates> candidates_;                // [key_parts, bounded]
  std::vector<std::vector<int64_t>> unbounded_keys_;  // [key_parts]
  std::vector<ExactBest> exact_best_;                 // [exact_parts, exact]
};

}  // namespace

void search(const SearchParams& params, const Parallel& parallel) {
  if (params.k == 0 || params.queries.rows == 0) return;
  const DefaultFloatEnvironment environment;
  const std::vector<float> centre = sample_centre(params.keys, params.metric);
  const int64_t held =
      parallel.num_threads * std::max<int64_t>(128, 2 * params.k + 64) * int64_t(sizeof(Candidate));
  const int64_t block = std::clamp<int64_t>(kCandidateBytes / held, 256, 8192);
  for (int64_t begin = 0; begin < params.queries.rows; begin += block)
    BlockSearch(params, parallel, centre, {begin, std::min(params.queries.rows, begin + block)}).run();
}

}  // namespace fastret::cpu
