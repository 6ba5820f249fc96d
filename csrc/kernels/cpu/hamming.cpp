#include "kernels/cpu/hamming.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/hamming_kernel.h"
#include "kernels/cpu/hamming_nearest.h"
#include "kernels/cpu/query_block.h"

namespace fastret::cpu {
namespace {

// Packed keys that stay in the level-1 cache while every query visits them.
constexpr int64_t kBlockBytes = 1 << 15;
// Queries that share the packing of the keys, and whose neighbours are in memory at once.
constexpr int64_t kQueriesAtOnce = 512;

// From so many queries on, keys are packed.
constexpr size_t kWorthPacking = 6;

// Places in a row, and the queries that visit them.
struct Visit {
  Range places;
  std::vector<int64_t> queries;
};

std::vector<Visit> visits_of(const HammingParams& p, Range queries) {
  if (!p.lists) {
    std::vector<int64_t> all;
    for (int64_t q = queries.begin; q < queries.end; ++q) all.push_back(q);
    return {{{0, p.num_keys}, std::move(all)}};
  }
  const ProbedLists& lists = *p.lists;
  std::vector<std::pair<int64_t, int64_t>> probes;  // list, query
  for (int64_t q = queries.begin; q < queries.end; ++q)
    for (int64_t j = 0; j < lists.num_probes; ++j) {
      const int64_t list = lists.probes[q * lists.num_probes + j];
      if (list >= 0) probes.emplace_back(list, q);
    }
  std::sort(probes.begin(), probes.end());
  std::vector<Visit> visits;
  for (size_t i = 0; i < probes.size(); ++i) {
    const auto [list, query] = probes[i];
    const int64_t start = lists.starts[list];
    if (i == 0 || list != probes[i - 1].first) visits.push_back({{start, start + lists.sizes[list]}, {}});
    visits.back().queries.push_back(query);
  }
  return visits;
}

// Shows queries the keys, or one of several parts of every visit.
template <class Found>
class HammingScan {
 public:
  HammingScan(const HammingParams& params, Range queries, const Found& nothing)
      : p_(params),
        words_(hamming_words(params.bytes)),
        first_query_(queries.begin),
        block_panels_(std::max<int64_t>(1, kBlockBytes / (8 * kPanelKeys * std::max<int64_t>(1, words_)))),
        found_(size_t(queries.end - queries.begin), nothing),
        queries_(found_.size() * size_t(words_)),
        planes_(size_t(block_panels_ * words_ * kPanelKeys)),
        hits_(size_t(block_panels_ * kPanelKeys) + 1) {
    for (int64_t q = queries.begin; q < queries.end && p_.bytes; ++q)
      std::memcpy(queries_.data() + (q - first_query_) * words_, p_.queries + q * p_.bytes, size_t(p_.bytes));
  }

  void run(const std::vector<Visit>& visits, int64_t index, int64_t parts) {
    const int64_t block_keys = block_panels_ * kPanelKeys;
    for (const Visit& visit : visits) {
      const Range mine = part(visit.places.end - visit.places.begin, index, parts);
      const int64_t last = visit.places.begin + mine.end;
      for (int64_t first = visit.places.begin + mine.begin; first < last; first += block_keys) {
        const int64_t count = std::min(block_keys, last - first);
        const bool packed = visit.queries.size() >= kWorthPacking;
        if (packed) kernel_.pack(p_.keys + first * p_.bytes, count, p_.bytes, planes_.data());
        for (const int64_t q : visit.queries) scan_block(q - first_query_, first, count, packed);
      }
    }
  }

  std::vector<Found>& found() { return found_; }

 private:
  void scan_block(int64_t query, int64_t first, int64_t count, bool packed) {
    Found& found = found_[size_t(query)];
    for (int64_t begin = 0; begin < count;) {
      const int64_t left = num_panels(count - begin);
      const int64_t panels = std::min(left, std::max<int64_t>(1, found.keys_at_once() / kPanelKeys));
      const uint64_t* words = queries_.data() + query * words_;
      const int64_t hits = packed ? kernel_.nearer(words, planes_.data() + begin * words_, words_, panels,
                                                   found.limit(), hits_.data())
                                  : kernel_.nearer_rows(words, p_.keys + (first + begin) * p_.bytes,
                                                        std::min(panels * kPanelKeys, count - begin),
                                                        p_.bytes, found.limit(), hits_.data());
      for (int64_t h = 0; h < hits; ++h) {
        const auto [place_of_hit, distance] = hits_[size_t(h)];
        const int64_t in_block = begin + place_of_hit, place = first + in_block;
        if (in_block >= count) break;             // what fills the last panel
        if (distance >= found.limit()) continue;  // which has fallen since it was compared
        if (p_.allowed && !p_.allowed[place]) continue;
        found.add(distance, p_.lists ? p_.lists->ids[place] : place);
      }
      begin += panels * kPanelKeys;
      found.saw(panels * kPanelKeys);
    }
  }

  const HammingParams& p_;
  const HammingKernel& kernel_ = hamming_kernel();
  const int64_t words_, first_query_, block_panels_;
  std::vector<Found> found_;
  std::vector<uint64_t> queries_, planes_;
  std::vector<HammingHit> hits_;
};

// Calls emit(query, found) once for each query, from any thread.
template <class Found, class Emit>
void scan(const HammingParams& p, const Found& nothing, const Parallel& parallel, Emit&& emit) {
  const int64_t threads = parallel.num_threads;
  if (p.num_queries < 4 * threads && threads > 1) {  // too few to share: every thread sees a part of the keys
    const Range all{0, p.num_queries};
    const std::vector<Visit> visits = visits_of(p, all);
    std::vector<std::vector<Found>> found(static_cast<size_t>(threads));
    parallel(threads, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        HammingScan<Found> scan(p, all, nothing);
        scan.run(visits, task, threads);
        found[size_t(task)] = std::move(scan.found());
      }
    });
    for (int64_t q = 0; q < p.num_queries; ++q) {
      for (size_t other = 1; other < found.size(); ++other)
        found[0][size_t(q)].merge(found[other][size_t(q)]);
      emit(q, found[0][size_t(q)]);
    }
    return;
  }
  const int64_t rounds = (p.num_queries + threads * kQueriesAtOnce - 1) / (threads * kQueriesAtOnce);
  parallel(rounds * threads, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const Range queries = part(p.num_queries, task, rounds * threads);
      HammingScan<Found> scan(p, queries, nothing);
      scan.run(visits_of(p, queries), 0, 1);
      for (int64_t q = queries.begin; q < queries.end; ++q) emit(q, scan.found()[size_t(q - queries.begin)]);
    }
  });
}

}  // namespace

void hamming_search(const HammingParams& p, int64_t k, int32_t* distances, int64_t* ids,
                    const Parallel& parallel) {
  if (k == 0) return;
  std::fill_n(distances, p.num_queries * k, kNoDistance);
  std::fill_n(ids, p.num_queries * k, int64_t(-1));
  const HammingNearest nothing(k, int32_t(8 * p.bytes), !p.lists);
  scan(p, nothing, parallel, [&](int64_t query, HammingNearest& found) {
    int64_t at = query * k;
    for (const HammingNeighbour& neighbour : found.finish()) {
      distances[at] = neighbour.distance;
      ids[at++] = neighbour.id;
    }
  });
}

HammingFound hamming_range_search(const HammingParams& p, int64_t radius, const Parallel& parallel) {
  const int32_t limit = int32_t(std::clamp<int64_t>(radius, 0, 8 * p.bytes + 1));
  std::vector<std::vector<HammingNeighbour>> rows(static_cast<size_t>(p.num_queries));
  scan(p, HammingWithin(limit), parallel,
       [&](int64_t query, HammingWithin& found) { rows[size_t(query)] = found.finish(); });
  HammingFound all;
  all.lims.push_back(0);
  for (const auto& row : rows) {
    for (const HammingNeighbour& neighbour : row) {
      all.distances.push_back(neighbour.distance);
      all.ids.push_back(neighbour.id);
    }
    all.lims.push_back(int64_t(all.ids.size()));
  }
  return all;
}

}  // namespace fastret::cpu
