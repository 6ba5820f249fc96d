// Exact search: a first pass keeps what the error bound cannot exclude, and only that is scored canonically.
// Scores never form a Q x N matrix: each tile is filtered against the rising thresholds of its queries.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cpu/candidates.h"
#include "kernels/cpu/exact_scan.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/pass_chain.h"
#include "kernels/cpu/rescore.h"
#include "kernels/cpu/scan.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kCandidateBytes = 128 << 20;  // of candidates held at once, by the queries of a block

// A key with its value in one integer: the smaller, the better its rank.
class RankedKey {
 public:
  RankedKey() = default;
  RankedKey(float value, uint32_t id) : bits_(uint64_t(~ascending(value)) << 32 | id) {}

  float value() const {
    const uint32_t bits = ~uint32_t(bits_ >> 32);
    const uint32_t plain = bits >> 31 ? bits ^ kSign : ~bits;
    float value;
    std::memcpy(&value, &plain, sizeof value);
    return value;
  }
  int64_t id() const { return int64_t(uint32_t(bits_)); }
  bool operator<(RankedKey other) const { return bits_ < other.bits_; }

 private:
  static constexpr uint32_t kSign = 0x80000000u;

  // Integers in the order of the floats.
  static uint32_t ascending(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits & kSign ? ~bits : bits | kSign;
  }

  uint64_t bits_ = 0;
};

// A block of queries against all keys.
class BlockSearch {
 public:
  BlockSearch(const SearchParams& params, const Parallel& parallel, const KeySet& keys, Range queries)
      : p_(params),
        parallel_(parallel),
        keys_(keys),
        block_(params.queries, queries, keys, params.filter, parallel, params.ceilings) {}

  void run() {
    std::vector<int64_t> bounded, exact;
    for (int64_t q = 0; q < block_.size(); ++q) {
      const double square = block_.square(q);
      if (std::isnan(square))
        write(q, 0, [](int64_t) { return ExactBest::Entry{}; });  // all its scores are NaN
      else
        (fits_first_pass(square) ? bounded : exact).push_back(q);
    }
    if (p_.k < (p_.keys.rows + 3) / 4)  // with so large a k most keys survive
      bounded = answer_in_passes(keys_, p_.first_pass, std::move(bounded),
                                 [&](PassChoice choice, std::vector<int64_t> queries) {
                                   return answer_with(choice, std::move(queries));
                                 });
    exact.insert(exact.end(), bounded.begin(), bounded.end());
    if (!exact.empty()) answer_exactly(exact);
  }

 private:
  // Answers the queries that the pass can; returns those that it cannot.
  std::vector<int64_t> answer_with(PassChoice choice, std::vector<int64_t> queries, bool speculate = true) {
    Scan scan(keys_, block_, std::move(queries), choice, {p_.k, {}, speculate}, parallel_);
    scan.run();
    const int64_t count = int64_t(scan.queries().size());
    std::vector<int64_t> left, answered, failed;
    const bool too_many = scan.too_many_unbounded();
    for (int64_t i = 0; i < count; ++i)
      if (too_many || scan.overflowed(i))
        left.push_back(scan.queries()[size_t(i)]);
      else if (scan.failed(i))
        failed.push_back(scan.queries()[size_t(i)]);
      else
        answered.push_back(i);
    parallel_(parallel_.num_threads, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t task = begin; task < end; ++task) {
        const Range mine = part(int64_t(answered.size()), task, parallel_.num_threads);
        const int64_t together = queries_rescored_together(p_.keys.dim, p_.k);
        for (int64_t first = mine.begin; first < mine.end; first += together)
          rescore(scan, answered.data() + first, std::min(together, mine.end - first));
      }
    });
    if (!failed.empty()) {
      const std::vector<int64_t> more = answer_with(choice, std::move(failed), false);
      left.insert(left.end(), more.begin(), more.end());
    }
    return left;
  }

  // First the k keys of the highest upper ends, not counting those that may beat the ceiling: their worst
  // value excludes most of the others without a score.
  void rescore(const Scan& scan, const int64_t* answered, int64_t count) {
    std::vector<Pair> pairs;
    std::vector<float> pivots, scratch;
    size_t most = 0;
    for (int64_t a = 0; a < count; ++a) most += scan.kept(answered[a]).count + scan.unbounded_keys().size();
    pairs.reserve(most);
    for (int64_t a = 0; a < count; ++a) {
      const int64_t q = scan.queries()[size_t(answered[a])];
      const Sink& kept = scan.kept(answered[a]);
      add_pairs(keys_, block_, q, scan.unbounded_keys(), pairs);
      float pivot = -std::numeric_limits<float>::infinity();
      const size_t first =
          size_t(p_.k + std::count_if(kept.uppers, kept.uppers + kept.count, [&](float upper) {
                   return scan.may_beat_ceiling(answered[a], upper);
                 }));
      if (kept.count > first) pivot = kth_largest(kept.uppers, kept.count, first, scratch);
      for (uint32_t i = 0; i < kept.count; ++i)
        if (kept.uppers[i] >= pivot) pairs.push_back({uint32_t(q), kept.places[i]});
      pivots.push_back(pivot);
    }
    score_pairs(keys_, block_, pairs, 0);

    std::vector<float> worst(size_t(block_.size()), std::numeric_limits<float>::infinity());
    for (const Pair& pair : pairs) {
      // NaN is no neighbour: then nothing is excluded.
      const float value = std::isnan(pair.value) ? -std::numeric_limits<float>::infinity() : pair.value;
      worst[size_t(pair.query)] = std::min(worst[size_t(pair.query)], value);
    }
    const size_t first_scored = pairs.size();
    for (int64_t a = 0; a < count; ++a) {
      const int64_t q = scan.queries()[size_t(answered[a])];
      const Sink& kept = scan.kept(answered[a]);
      if (pivots[size_t(a)] == -std::numeric_limits<float>::infinity()) continue;  // all are scored
      const double reach =
          scan.value_scale(answered[a]).t_below(worst[size_t(q)]) - scan.bounds(answered[a]).extra;
      for (uint32_t i = 0; i < kept.count; ++i)
        if (kept.uppers[i] < pivots[size_t(a)] && kept.uppers[i] >= reach)
          pairs.push_back({uint32_t(q), kept.places[i]});
    }
    score_pairs(keys_, block_, pairs, first_scored);
    write_best(pairs, scan, answered, count);
  }

  void write_best(const std::vector<Pair>& pairs, const Scan& scan, const int64_t* answered, int64_t count) {
    std::vector<int64_t> ends(size_t(block_.size() + 1), 0);
    for (const Pair& pair : pairs) ++ends[size_t(pair.query) + 1];
    for (size_t q = 1; q < ends.size(); ++q) ends[q] += ends[q - 1];
    std::vector<RankedKey> ranked(pairs.size());
    std::vector<int64_t> next(ends.begin(), ends.end() - 1);
    for (const Pair& pair : pairs)
      if (pair.value <= block_.ceiling(pair.query))
        ranked[size_t(next[size_t(pair.query)]++)] = {pair.value, pair.key};
    for (int64_t a = 0; a < count; ++a) {
      const int64_t q = scan.queries()[size_t(answered[a])];
      const auto begin = ranked.begin() + ends[size_t(q)], end = ranked.begin() + next[size_t(q)];
      const auto middle = begin + std::min<int64_t>(p_.k, end - begin);
      if (middle != end) std::nth_element(begin, middle, end);
      std::sort(begin, middle);
      write(q, middle - begin, [&](int64_t j) { return ExactBest::Entry{begin[j].value(), begin[j].id()}; });
      report(q, ends[size_t(q) + 1] - ends[size_t(q)], int64_t(scan.pass()));
    }
  }

  void answer_exactly(const std::vector<int64_t>& queries) {
    const int64_t count = int64_t(queries.size()), parts = exact_scan_parts(keys_, parallel_);
    std::vector<ExactBest> best(size_t(parts * count), ExactBest(p_.k));
    exact_scan(keys_, block_, queries, parallel_, [&](int64_t part, size_t e, float value, int64_t key) {
      if (value <= block_.ceiling(queries[e])) best[size_t(part * count) + e].push(value, key);
    });
    parallel_(count, [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) {
        ExactBest& mine = best[size_t(e)];
        for (int64_t part = 1; part < parts; ++part) mine.merge(best[size_t(part * count + e)]);
        const auto& sorted = mine.sorted();
        write(queries[size_t(e)], int64_t(sorted.size()), [&](int64_t j) { return sorted[size_t(j)]; });
        report(queries[size_t(e)], p_.keys.rows, kNoFirstPass);
      }
    });
  }

  template <class F>
  void write(int64_t q, int64_t count, F&& best) {
    const float nothing = -std::numeric_limits<float>::infinity();
    const int64_t row = (block_.first() + q) * p_.k;
    for (int64_t j = 0; j < p_.k; ++j) {
      const ExactBest::Entry entry = j < count ? best(j) : ExactBest::Entry{nothing, -1};
      // rank_value is its own inverse; + 0 keeps a zero distance from turning into -0.
      p_.scores[row + j] = rank_value(p_.metric, entry.value) + 0.0f;
      p_.ids[row + j] = entry.id;
    }
  }

  void report(int64_t q, int64_t rescored, int64_t pass) {
    if (p_.rescored) p_.rescored[block_.first() + q] = rescored;
    if (p_.passes) p_.passes[block_.first() + q] = pass;
  }

  const SearchParams& p_;
  const Parallel& parallel_;
  const KeySet& keys_;
  QueryBlock block_;
};

}  // namespace

void search(const SearchParams& params, const Parallel& parallel) {
  if (params.rescored) std::fill_n(params.rescored, params.queries.rows, 0);
  if (params.passes) std::fill_n(params.passes, params.queries.rows, kNoFirstPass);
  if (params.k == 0 || params.queries.rows == 0) return;
  const DefaultFloatEnvironment environment;
  const KeySet keys(params.keys, params.metric, params.filter, params.packed);
  const int64_t held = parallel.num_threads * std::max<int64_t>(128, 2 * params.k + 64) * 16;
  const int64_t block = std::clamp<int64_t>(kCandidateBytes / held, 16, 4096);
  const int64_t blocks = (params.queries.rows + block - 1) / block;
  for (int64_t b = 0; b < blocks; ++b)
    BlockSearch(params, parallel, keys, part(params.queries.rows, b, blocks)).run();
}

}  // namespace fastret::cpu
