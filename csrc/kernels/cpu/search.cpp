// Exact search: a first pass keeps what the error bound cannot exclude, and only that is scored canonically.
// Scores never form a Q x N matrix: each tile is filtered against the rising thresholds of its queries.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/candidates.h"
#include "kernels/cpu/exact_scan.h"
#include "kernels/cpu/first_pass.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/rescore.h"
#include "kernels/cpu/scan.h"
#include "kernels/cpu/value_scale.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kCandidateBytes = 128 << 20;  // of candidates held at once, by the queries of a block
constexpr size_t kPairsAtOnce = 1 << 20;        // rescored together

// A block of queries against all keys.
class BlockSearch {
 public:
  BlockSearch(const SearchParams& params, const Parallel& parallel, const KeySet& keys, Range queries)
      : p_(params),
        parallel_(parallel),
        keys_(keys),
        block_(params.queries, queries, keys, params.filter, parallel) {}

  void run() {
    std::vector<int64_t> bounded, exact;
    const bool few = !keys_.packed && p_.first_pass < 0 && p_.queries.rows <= kFewQueries;
    for (int64_t q = 0; q < block_.size(); ++q) {
      const double square = block_.square(q);
      if (std::isnan(square))
        write(q, {}, 0, kNoFirstPass);  // all its scores are NaN: no neighbours
      else
        (few || !fits_first_pass(square) ? exact : bounded).push_back(q);
    }
    for (FirstPass pass = first_pass(); !bounded.empty() && bounded_by(pass); pass = FirstPass::float32) {
      bounded = answer_with(pass, std::move(bounded));
      // Packing all keys for a few queries costs more than their scores.
      if (pass == FirstPass::float32 || int64_t(bounded.size()) <= kFewQueries) break;
    }
    exact.insert(exact.end(), bounded.begin(), bounded.end());
    if (!exact.empty()) answer_exactly(exact);
  }

 private:
  FirstPass first_pass() const {
    if (keys_.packed) return keys_.packed->first_pass;
    if (p_.first_pass >= 0) return FirstPass(p_.first_pass);
    return cheapest_first_pass(p_.queries.rows, p_.keys.dim);
  }

  // Whether the pass can tell anything: places are 32 bits, and with so large a k most keys survive.
  bool bounded_by(FirstPass pass) const {
    return p_.keys.dim <= dim_limit(pass) && keys_places_fit(p_.keys.rows) && p_.k < (p_.keys.rows + 3) / 4 &&
           p_.keys.dim > 0;
  }

  // Answers the queries that the pass can; returns those that it cannot.
  std::vector<int64_t> answer_with(FirstPass pass, std::vector<int64_t> queries) {
    Scan scan(keys_, block_, std::move(queries), pass, {p_.k, nullptr}, parallel_);
    scan.run();
    const int64_t count = int64_t(scan.queries().size());
    std::vector<int64_t> left, answered;
    const bool too_many = int64_t(scan.unbounded_keys().size()) > std::max<int64_t>(4096, p_.keys.rows / 8);
    for (int64_t i = 0; i < count; ++i)
      if (too_many || scan.overflowed(i))
        left.push_back(scan.queries()[size_t(i)]);
      else
        answered.push_back(i);
    parallel_(parallel_.num_threads, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t task = begin; task < end; ++task) {
        const Range mine = part(int64_t(answered.size()), task, parallel_.num_threads);
        for (int64_t first = mine.begin; first < mine.end;) {
          size_t pairs = 0;
          int64_t last = first;
          for (; last < mine.end && pairs < kPairsAtOnce; ++last)
            pairs += scan.kept(answered[size_t(last)]).count + scan.unbounded_keys().size();
          rescore(scan, pass, answered.data() + first, last - first);
          first = last;
        }
      }
    });
    return left;
  }

  // First the k keys of the highest upper ends: their worst value excludes most of the others without a
  // score.
  void rescore(const Scan& scan, FirstPass pass, const int64_t* answered, int64_t count) {
    std::vector<Pair> pairs, others;
    std::vector<size_t> other_starts;
    for (int64_t a = 0; a < count; ++a) {
      const int64_t q = scan.queries()[size_t(answered[a])];
      const Sink& kept = scan.kept(answered[a]);
      for (int64_t key : scan.unbounded_keys())
        if ((!keys_.allowed || keys_.allowed[key]) && !block_.excludes(q, key))
          pairs.push_back({q, key, 0, 0});
      other_starts.push_back(others.size());
      for (uint32_t i = 0; i < kept.count; ++i) others.push_back({q, kept.places[i], kept.uppers[i], 0});
      const auto mine = others.begin() + int64_t(other_starts.back());
      if (int64_t(kept.count) > p_.k)
        std::nth_element(mine, mine + p_.k, others.end(),
                         [](const Pair& a, const Pair& b) { return a.upper > b.upper; });
      const auto middle = mine + std::min<int64_t>(p_.k, kept.count);
      pairs.insert(pairs.end(), mine, middle);
    }
    other_starts.push_back(others.size());
    score_pairs(keys_, block_, pairs, 0);

    std::vector<float> worst(size_t(block_.size()), std::numeric_limits<float>::infinity());
    std::vector<int64_t> scored(size_t(block_.size()), 0);
    for (const Pair& pair : pairs) {
      ++scored[size_t(pair.query)];
      // NaN is no neighbour: then nothing is excluded.
      const float value = std::isnan(pair.value) ? -std::numeric_limits<float>::infinity() : pair.value;
      worst[size_t(pair.query)] = std::min(worst[size_t(pair.query)], value);
    }
    const size_t first_scored = pairs.size();
    for (int64_t a = 0; a < count; ++a) {
      const int64_t q = scan.queries()[size_t(answered[a])];
      const size_t begin = other_starts[size_t(a)], end = other_starts[size_t(a) + 1];
      if (int64_t(end - begin) <= p_.k) continue;
      const ValueScale scale(keys_, block_.row(q), block_.square(q));
      const double extra = scan.bounds(answered[a]).extra;
      for (size_t i = begin + size_t(p_.k); i < end; ++i)
        if (scale.value_above(others[i].upper + extra) >= worst[size_t(q)]) pairs.push_back(others[i]);
    }
    score_pairs(keys_, block_, pairs, first_scored);
    for (size_t i = first_scored; i < pairs.size(); ++i) ++scored[size_t(pairs[i].query)];

    std::vector<ExactBest> best(size_t(block_.size()), ExactBest(p_.k));
    for (const Pair& pair : pairs) best[size_t(pair.query)].push(pair.value, pair.key);
    for (int64_t a = 0; a < count; ++a) {
      const int64_t q = scan.queries()[size_t(answered[a])];
      write(q, best[size_t(q)].sorted(), scored[size_t(q)], int64_t(pass));
    }
  }

  void answer_exactly(const std::vector<int64_t>& queries) {
    const int64_t count = int64_t(queries.size()), parts = exact_scan_parts(keys_, parallel_);
    std::vector<ExactBest> best(size_t(parts * count), ExactBest(p_.k));
    exact_scan(keys_, block_, queries, parallel_, [&](int64_t part, size_t e, float value, int64_t key) {
      best[size_t(part * count) + e].push(value, key);
    });
    parallel_(count, [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) {
        ExactBest& mine = best[size_t(e)];
        for (int64_t part = 1; part < parts; ++part) mine.merge(best[size_t(part * count + e)]);
        write(queries[size_t(e)], mine.sorted(), p_.keys.rows, kNoFirstPass);
      }
    });
  }

  void write(int64_t q, const std::vector<ExactBest::Entry>& best, int64_t scored, int64_t pass) {
    const float nothing = -std::numeric_limits<float>::infinity();
    const int64_t row = block_.first() + q;
    for (int64_t j = 0; j < p_.k; ++j) {
      const bool found = j < int64_t(best.size());
      // rank_value is its own inverse; + 0 keeps a zero distance from turning into -0.
      p_.scores[row * p_.k + j] = rank_value(p_.metric, found ? best[size_t(j)].value : nothing) + 0.0f;
      p_.ids[row * p_.k + j] = found ? best[size_t(j)].id : -1;
    }
    if (p_.rescored) p_.rescored[row] = scored;
    if (p_.passes) p_.passes[row] = pass;
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
  const int64_t held = parallel.num_threads * std::max<int64_t>(128, 2 * params.k + 64) * 12;
  const int64_t block = std::clamp<int64_t>(kCandidateBytes / held, 256, 8192);
  for (int64_t begin = 0; begin < params.queries.rows; begin += block)
    BlockSearch(params, parallel, keys, {begin, std::min(params.queries.rows, begin + block)}).run();
}

}  // namespace fastret::cpu
