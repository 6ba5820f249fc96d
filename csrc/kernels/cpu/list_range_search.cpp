// Every row of the visited lists that scores better than a threshold.
#include <algorithm>
#include <cfloat>
#include <limits>
#include <vector>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/list_scan.h"
#include "kernels/cpu/list_search.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kBlockQueries = 512;

struct Found {
  int64_t id, position;
  float value;
  bool operator<(const Found& other) const {
    return id != other.id ? id < other.id : position < other.position;
  }
};

// Scores what the first pass cannot exclude, block by block.
class RangeKeeper {
 public:
  RangeKeeper(const ListWork& work, Range queries, float threshold)
      : work_(work),
        first_(queries.begin),
        threshold_(threshold),
        sinks_(size_t(queries.end - queries.begin)),
        uppers_(sinks_.size() * kPanelKeys),
        places_(uppers_.size()),
        found_(sinks_.size()),
        rows_(work.lists, kPanelKeys) {
    for (int64_t q = queries.begin; q < queries.end; ++q) {
      const size_t i = size_t(q - first_);
      // Finite, so that upper ends of -inf never pass.
      const float lowest = std::max(-FLT_MAX, work.lowest_end(q, threshold));
      sinks_[i] = {lowest, 0, uppers_.data() + i * kPanelKeys, places_.data() + i * kPanelKeys};
    }
  }

  Sink& sink(int64_t q) { return sinks_[size_t(q - first_)]; }

  template <class HalfWidth>
  void settle(int64_t q, const HalfWidth&, int64_t list, int64_t) {
    Sink& kept = sink(q);
    RowPlace places[kPanelKeys];
    float values[kPanelKeys];
    for (uint32_t i = 0; i < kept.count; ++i) places[i] = {list, kept.places[i]};
    score_places(work_, rows_, q, places, kept.count, values);
    for (uint32_t i = 0; i < kept.count; ++i) found(q, values[i], places[i].position);
    kept.count = 0;
  }

  void found(int64_t q, float value, int64_t position) {
    if (value > threshold_)
      found_[size_t(q - first_)].push_back({work_.lists.ids[position], position, value});
  }

  std::vector<Found>& all(int64_t q) { return found_[size_t(q - first_)]; }

 private:
  const ListWork& work_;
  int64_t first_;
  float threshold_;  // a rank value
  std::vector<Sink> sinks_;
  std::vector<float> uppers_;     // [queries, kPanelKeys]
  std::vector<uint32_t> places_;  // as uppers_
  std::vector<std::vector<Found>> found_;
  ListRows rows_;
};

// What parts of a block found, by query.
using BlockFound = std::vector<std::vector<Found>>;

BlockFound search_block(const ListRangeSearchParams& p, const Parallel& parallel, const KeySet& shape,
                        Range queries) {
  const QueryBlock block(p.queries, queries, shape, {}, parallel);
  const ListWork work(p.lists, p.probes, p.metric, block);
  const ListParts parts(block.size(), parallel.num_threads);
  std::vector<BlockFound> found(size_t(parts.count()), BlockFound(size_t(block.size())));
  parallel(parts.count(), [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t task = begin; task < end; ++task) {
      const Range mine = parts.queries(task);
      RangeKeeper keeper(work, mine, rank_value(p.metric, p.threshold));
      ListScan<RangeKeeper> scan(work, keeper);
      scan.run(work.queries(mine, true), parts.lists(task), parts.list_parts);
      scan.run_exactly(work.queries(mine, false), parts.lists(task), parts.list_parts);
      for (int64_t q = mine.begin; q < mine.end; ++q) found[size_t(task)][size_t(q)].swap(keeper.all(q));
    }
  });
  for (int64_t task = 1; task < parts.count(); ++task)
    for (size_t q = 0; q < found[0].size(); ++q) {
      const std::vector<Found>& more = found[size_t(task)][q];
      found[0][q].insert(found[0][q].end(), more.begin(), more.end());
    }
  return std::move(found[0]);
}

}  // namespace

RangeFound range_search_lists(const ListRangeSearchParams& params, const Parallel& parallel) {
  RangeFound all;
  all.lims.push_back(0);
  const DefaultFloatEnvironment environment;
  const KeySet shape = shape_of_lists(params.lists, params.metric);
  const int64_t blocks = (params.queries.rows + kBlockQueries - 1) / kBlockQueries;
  for (int64_t b = 0; b < blocks; ++b) {
    for (std::vector<Found>& found :
         search_block(params, parallel, shape, part(params.queries.rows, b, blocks))) {
      std::sort(found.begin(), found.end());
      for (const Found& f : found) {
        all.scores.push_back(rank_value(params.metric, f.value) + 0.0f);
        all.ids.push_back(f.position);
      }
      all.lims.push_back(int64_t(all.ids.size()));
    }
  }
  return all;
}

}  // namespace fastret::cpu
