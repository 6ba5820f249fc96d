// Exact search. A scan in bfloat16 keeps what the error bound cannot exclude, and only that is scored
// canonically. Queries of which too much is left are scanned once more and finer; those of which even that
// leaves too much are answered without a scan. Scores never form a Q x N matrix, and the host never waits:
// what depends on data is decided on the device.
//
// The keys are scanned in runs of tiles, each as long as all before it: after a run, the k-th best of what
// has been seen excludes about as many keys of the next run as it did of the last, so that buffers of a few
// times k suffice. The first run fits a buffer whole.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/cuda/best_keys.cuh"
#include "kernels/cuda/dense.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/key_filter.cuh"
#include "kernels/cuda/query_list.cuh"
#include "kernels/cuda/rescore.cuh"
#include "kernels/cuda/split_rows.cuh"
#include "kernels/cuda/tighten.cuh"

namespace fastret::cuda {

TileOrder tile_order(int64_t num_keys) {
  const int64_t tiles = std::max<int64_t>(1, ceil_div(num_keys, kKeyTile));
  int64_t step = std::max<int64_t>(1, int64_t(0.618 * double(tiles)));
  while (std::gcd(step, tiles) != 1) ++step;
  return {tiles, step};
}

namespace {

constexpr int64_t kRowBlocks = 4096;  // of a kernel that may find nothing to do

// Runs of tiles, each as long as all before it but at most `most`; the first has `first`.
struct Runs {
  std::vector<int64_t> ends;
  int64_t longest = 0;

  Runs() = default;
  Runs(int64_t tiles, int64_t first, int64_t most) {
    for (int64_t end = 0; end < tiles;) {
      const int64_t run = std::min({std::max<int64_t>({1, end, first}), most, tiles - end});
      longest = std::max(longest, run);
      ends.push_back(end += run);
    }
  }
};

struct Plan {
  int64_t k;         // places that can be filled
  bool scan;         // whether a scan precedes canonical scores
  int64_t queries;   // per pass over the keys
  int64_t capacity;  // survivors of a query
  TileOrder order;
  Runs runs, finer_runs;
  int64_t own_tiles;  // of keys, that a run makes planes of
};

// What a query's survivors come to between two runs: k of each of two runs, and those that the bound leaves
// beside them.
int64_t scan_capacity(int64_t k, const SearchTuning& tuning) {
  return std::max(tuning.least_capacity, 6 * k + 128);
}

// What a pass holds of each query.
int64_t query_bytes(const SearchParams& p, const Plan& plan) {
  const int64_t planes = plan.scan ? 2 * plane_stride(p.queries.dim) * int64_t(sizeof(uint16_t)) : 0;
  const int64_t entries = plan.k > kSortInBlock ? 2 * plan.capacity : plan.capacity;
  return planes + entries * int64_t(sizeof(uint64_t)) + 2 * int64_t(sizeof(QueryFacts)) + 16;
}

Plan plan_search(const SearchParams& p, bool has_planes, const SearchTuning& tuning) {
  Plan plan = {};
  plan.k = std::clamp<int64_t>(p.keys.rows, 1, p.k);
  plan.order = tile_order(p.keys.rows);
  // With so large a k most keys would survive.
  plan.scan = plan.k < ceil_div(p.keys.rows, 4) && p.keys.dim > 0 && p.keys.dim <= kMostDims;
  plan.capacity = dense_capacity(plan.k, p.keys.rows);
  if (plan.scan)
    plan.capacity =
        std::max(plan.capacity, std::min(scan_capacity(plan.k, tuning), plan.order.tiles * kKeyTile));
  plan.queries =
      std::clamp<int64_t>(tuning.query_bytes / query_bytes(p, plan), 1, std::max<int64_t>(1, p.queries.rows));
  if (!plan.scan) return plan;
  const int64_t tile_bytes = kKeyTile * plane_stride(p.keys.dim) * int64_t(sizeof(uint16_t));
  // A grid has fewer than 2^31 blocks, one for each tile of keys with each of queries, 16 of them at least.
  const int64_t launchable = INT32_MAX / ceil_div(plan.queries, 16);
  const int64_t affordable = tuning.plane_bytes / tile_bytes;
  const int64_t longest = std::clamp<int64_t>(has_planes ? plan.order.tiles : affordable, 1, launchable);
  // The first run fits a buffer whole. The finer scan has a plane more to make.
  const int64_t first = plan.capacity / kKeyTile, finer_planes = has_planes ? 1 : 2;
  plan.runs = Runs(plan.order.tiles, first, longest);
  plan.finer_runs = Runs(plan.order.tiles, first, std::max<int64_t>(1, affordable / finer_planes));
  plan.own_tiles = std::max(has_planes ? 0 : plan.runs.longest, finer_planes * plan.finer_runs.longest);
  return plan;
}

// The result of a search, as best_keys.cuh wants it. Distances where `negate`: the smallest is best.
struct Neighbours {
  float* scores;  // [Q, K]
  int64_t* ids;   // [Q, K]
  int64_t k;
  bool negate;

  Neighbours slice(int64_t first, int64_t) const { return {scores + first * k, ids + first * k, k, negate}; }
  FASTRET_HOST_DEVICE int64_t places() const { return k; }
  __device__ void write(int64_t row, int64_t place, uint64_t key) const {
    const float value = key == kNothing ? -INFINITY : value_of_key(key);
    scores[row * k + place] = negate ? -value + 0.0f : value;
    ids[row * k + place] = key == kNothing ? -1 : int64_t(position_of_key(key));
  }
};

struct Buffers {
  QueryState queries;
  Survivors survivors;
  uint32_t* list;
  uint16_t* key_planes;  // of a run's tiles
  KeyFacts* key_facts;
  SortBuffers sort;
  int64_t bytes;
};

Buffers lay_out(const SearchParams& p, bool has_planes, const Plan& plan, void* workspace) {
  Workspace pieces(workspace);
  Buffers b = {};
  const int64_t stride = plane_stride(p.keys.dim);
  if (plan.scan) {
    const int64_t rows = ceil_div(plan.queries, kMostScanQueries) * kMostScanQueries;
    b.queries.high = pieces.take<uint16_t>(rows * stride);
    b.queries.middle = pieces.take<uint16_t>(rows * stride);
    b.key_planes = pieces.take<uint16_t>(plan.own_tiles * kKeyTile * stride);
    if (!has_planes) b.key_facts = pieces.take<KeyFacts>(plan.order.tiles * kKeyTile);
  }
  b.queries.facts = pieces.take<QueryFacts>(plan.queries);
  b.queries.finer_facts = pieces.take<QueryFacts>(plan.queries);
  b.queries.thresholds = pieces.take<float>(plan.queries);
  b.queries.answers = pieces.take<uint32_t>(plan.queries);
  b.survivors = {pieces.take<uint64_t>(plan.queries * plan.capacity), pieces.take<uint32_t>(plan.queries),
                 plan.capacity};
  b.list = pieces.take<uint32_t>(plan.queries + 1);
  if (plan.k > kSortInBlock)
    b.sort = take_sort_buffers(pieces, plan.queries, plan.capacity, p.keys.rows, INT64_MAX);
  b.bytes = pieces.bytes();
  return b;
}

Rows rows_between(const Rows& rows, int64_t begin, int64_t end) {
  return {element_address(rows.data, rows.dtype, begin * rows.row_stride), end - begin, rows.dim,
          rows.row_stride, rows.dtype};
}

ExactRows exact_keys(const SearchParams& p, const KeyPlanes* planes) {
  if (!planes) return {p.keys, nullptr};
  return {{planes->high, p.keys.rows, p.keys.dim, plane_stride(p.keys.dim), DType::bf16}, planes->low};
}

// One pass over the keys: the neighbours of some queries.
class Pass {
 public:
  Pass(const SearchParams& p, const KeyPlanes* planes, const Plan& plan, const Buffers& buffers,
       int64_t first, const SearchTuning& tuning)
      : p_(p),
        planes_(planes),
        plan_(plan),
        b_(buffers),
        tuning_(tuning),
        first_(first),
        queries_(rows_between(p.queries, first, std::min(p.queries.rows, first + plan.queries))),
        filter_(slice(p.filter, first, 0)),
        ceilings_(p.ceilings ? p.ceilings + first : nullptr),
        keys_(exact_keys(p, planes)) {}

  void queue(Launcher& launch) const {
    launch.zero(b_.survivors.counts, queries_.rows * int64_t(sizeof(uint32_t)));
    split_queries(launch, queries_, p_.metric, ceilings_, plan_.scan, b_.queries);
    if (plan_.scan) {
      scan_keys(launch);
      scan_keys_finer(launch);
      rescore(launch, {queries_, keys_, p_.metric, ceilings_, b_.queries.answers, b_.survivors},
              tuning_.target_blocks);
    }
    list_queries(launch, b_.queries.answers, queries_.rows, kWithoutScan, b_.list);
    answer_densely(launch, {queries_, keys_, p_.metric, plan_.k, filter_, ceilings_, b_.list, b_.survivors},
                   tuning_.target_blocks);
    const Neighbours result = {p_.scores + first_ * p_.k, p_.ids + first_ * p_.k, p_.k,
                               p_.metric == Metric::l2};
    write_best_keys(launch, b_.survivors, queries_.rows, plan_.k, p_.keys.rows, b_.sort, result);
  }

 private:
  void scan_keys(Launcher& launch) const {
    int64_t begin = 0;
    for (const int64_t end : plan_.runs.ends) {
      if (!planes_)
        split_tiles(launch,
                    {keys_, p_.metric, plan_.order, begin, end - begin, {b_.key_planes}, b_.key_facts},
                    INT32_MAX);
      scan(launch, scan_params(begin, end - begin));
      tighten(launch, tighten_params(), queries_.rows);
      begin = end;
    }
  }

  // The thresholds stay: lower ends of the first scan, which k keys reach.
  void scan_keys_finer(Launcher& launch) const {
    list_queries(launch, b_.queries.answers, queries_.rows, kByFinerScan, b_.list);
    restart_queries(launch, b_.list, queries_.rows, b_.survivors.counts, b_.queries.answers);
    uint16_t* middles = b_.key_planes;
    uint16_t* highs =
        planes_ ? nullptr : middles + plan_.finer_runs.longest * kKeyTile * plane_stride(p_.keys.dim);
    int64_t begin = 0;
    for (const int64_t end : plan_.finer_runs.ends) {
      const int64_t visits = end - begin;
      split_tiles(launch,
                  {keys_, p_.metric, plan_.order, begin, visits, {highs, nullptr, middles}, nullptr, b_.list},
                  kRowBlocks);
      ScanParams finer = scan_params(begin, visits);
      finer.query_facts = b_.queries.finer_facts;
      if (highs) finer.keys = highs;
      finer.finer = {b_.list, b_.queries.middle, middles};
      scan_finer(launch, finer, tuning_.target_blocks);
      TightenParams tightening = tighten_params();
      tightening.query_facts = b_.queries.finer_facts;
      tightening.lost = kWithoutScan;
      tightening.list = b_.list;
      tighten(launch, tightening, queries_.rows);
      begin = end;
    }
  }

  ScanParams scan_params(int64_t first_visit, int64_t num_visits) const {
    return {b_.queries.high,
            b_.queries.facts,
            b_.queries.thresholds,
            queries_.rows,
            planes_ ? planes_->high : b_.key_planes,
            !planes_,
            key_facts(),
            p_.keys.rows,
            plane_stride(p_.keys.dim),
            plan_.order,
            first_visit,
            num_visits,
            squared_extra(p_.metric, p_.keys.dim),
            filter_,
            b_.survivors};
  }

  TightenParams tighten_params() const {
    return {b_.survivors,
            b_.queries.facts,
            b_.queries.thresholds,
            b_.queries.answers,
            key_facts(),
            squared_extra(p_.metric, p_.keys.dim),
            plan_.k,
            kByFinerScan};
  }

  const KeyFacts* key_facts() const { return planes_ ? planes_->facts : b_.key_facts; }

  const SearchParams& p_;
  const KeyPlanes* planes_;
  const Plan& plan_;
  const Buffers& b_;
  const SearchTuning& tuning_;
  int64_t first_;
  Rows queries_;
  KeyFilter filter_;
  const float* ceilings_;
  ExactRows keys_;
};

}  // namespace

SearchTuning search_tuning_within(int64_t bytes) {
  SearchTuning tuning = kSearchTuning;
  tuning.query_bytes = bytes / 2;
  tuning.plane_bytes = bytes / 2;
  return tuning;
}

int64_t search_workspace_bytes(const SearchParams& p, bool has_planes, const SearchTuning& tuning) {
  if (p.k == 0) return 0;
  return lay_out(p, has_planes, plan_search(p, has_planes, tuning), nullptr).bytes;
}

cudaError_t search(const SearchParams& p, const KeyPlanes* planes, void* workspace, cudaStream_t stream,
                   const SearchTuning& tuning) {
  if (p.k == 0 || p.queries.rows == 0) return cudaSuccess;
  if (p.keys.rows >= kMostKeys) return cudaErrorInvalidValue;
  const Plan plan = plan_search(p, planes != nullptr, tuning);
  const Buffers buffers = lay_out(p, planes != nullptr, plan, workspace);
  Launcher launch(stream);
  for (int64_t first = 0; first < p.queries.rows; first += plan.queries)
    Pass(p, planes, plan, buffers, first, tuning).queue(launch);
  return launch.error();
}

}  // namespace fastret::cuda
