// Every key that scores better than a threshold: what the first pass cannot exclude is scored canonically.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/exact_scan.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/pass_chain.h"
#include "kernels/cpu/rescore.h"
#include "kernels/cpu/scan.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kBlockQueries = 512;
constexpr size_t kPairsAtOnce = 1 << 20;  // rescored together

struct Found {
  int64_t key;
  float value;
};

class BlockRangeSearch {
 public:
  BlockRangeSearch(const RangeSearchParams& params, const Parallel& parallel, const KeySet& keys,
                   Range queries, RangeFound& all)
      : p_(params),
        parallel_(parallel),
        keys_(keys),
        threshold_(rank_value(params.metric, params.threshold)),
        block_(params.queries, queries, keys, params.filter, parallel),
        found_(size_t(block_.size())),
        all_(all) {}

  void run() {
    std::vector<int64_t> bounded, exact;
    for (int64_t q = 0; q < block_.size(); ++q) {
      const double square = block_.square(q);
      if (std::isnan(square)) continue;  // all its scores are NaN
      (fits_first_pass(square) && std::isfinite(threshold_) ? bounded : exact).push_back(q);
    }
    bounded = answer_in_passes(keys_, p_.first_pass, std::move(bounded),
                               [&](PassChoice choice, std::vector<int64_t> queries) {
                                 return answer_with(choice, std::move(queries));
                               });
    exact.insert(exact.end(), bounded.begin(), bounded.end());
    if (!exact.empty()) answer_exactly(exact);
    for (int64_t q = 0; q < block_.size(); ++q) {
      auto& mine = found_[size_t(q)];
      std::sort(mine.begin(), mine.end(), [](const Found& a, const Found& b) { return a.key < b.key; });
      for (const Found& f : mine) {
        all_.scores.push_back(rank_value(p_.metric, f.value) + 0.0f);
        all_.ids.push_back(f.key);
      }
      all_.lims.push_back(int64_t(all_.ids.size()));
    }
  }

 private:
  // Answers the queries that the pass can; returns those that it cannot.
  std::vector<int64_t> answer_with(PassChoice choice, std::vector<int64_t> queries) {
    Scan scan(keys_, block_, std::move(queries), choice, {0, threshold_}, parallel_);
    scan.run();
    const int64_t count = int64_t(scan.queries().size());
    std::vector<int64_t> left;
    const bool too_many = scan.too_many_unbounded();
    for (int64_t i = 0; i < count; ++i)
      if (too_many || scan.overflowed(i)) left.push_back(scan.queries()[size_t(i)]);
    if (too_many) return left;
    parallel_(parallel_.num_threads, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t task = begin; task < end; ++task) {
        const Range mine = part(count, task, parallel_.num_threads);
        std::vector<Pair> pairs;
        for (int64_t i = mine.begin; i < mine.end; ++i) {
          const int64_t q = scan.queries()[size_t(i)];
          const Sink& kept = scan.kept(i);
          if (!scan.overflowed(i)) add_pairs(keys_, block_, q, scan.unbounded_keys(), pairs);
          for (uint32_t c = 0; c < kept.count; ++c) pairs.push_back({uint32_t(q), kept.places[c]});
          if (pairs.size() >= kPairsAtOnce || i + 1 == mine.end) {
            score_pairs(keys_, block_, pairs, 0);
            for (const Pair& pair : pairs) add(pair.query, pair.key, pair.value);
            pairs.clear();
          }
        }
      }
    });
    return left;
  }

  void answer_exactly(const std::vector<int64_t>& queries) {
    const int64_t count = int64_t(queries.size()), parts = exact_scan_parts(keys_, parallel_);
    std::vector<std::vector<Found>> found(size_t(parts * count));
    exact_scan(keys_, block_, queries, parallel_, [&](int64_t part, size_t e, float value, int64_t key) {
      if (value > threshold_) found[size_t(part * count) + e].push_back({key, value});
    });
    for (int64_t part = 0; part < parts; ++part)
      for (int64_t e = 0; e < count; ++e) {
        const auto& more = found[size_t(part * count + e)];
        auto& mine = found_[size_t(queries[size_t(e)])];
        mine.insert(mine.end(), more.begin(), more.end());
      }
  }

  void add(int64_t q, int64_t key, float value) {
    if (value > threshold_) found_[size_t(q)].push_back({key, value});
  }

  const RangeSearchParams& p_;
  const Parallel& parallel_;
  const KeySet& keys_;
  float threshold_;  // a rank value
  QueryBlock block_;
  std::vector<std::vector<Found>> found_;  // by query of the block
  RangeFound& all_;
};

}  // namespace

RangeFound range_search(const RangeSearchParams& params, const Parallel& parallel) {
  RangeFound all;
  all.lims.push_back(0);
  const DefaultFloatEnvironment environment;
  const KeySet keys(params.keys, params.metric, params.filter, params.packed);
  const int64_t blocks = (params.queries.rows + kBlockQueries - 1) / kBlockQueries;
  for (int64_t b = 0; b < blocks; ++b)
    BlockRangeSearch(params, parallel, keys, part(params.queries.rows, b, blocks), all).run();
  return all;
}

}  // namespace fastret::cpu
