// What becomes of the approximate scores of a tile: each is compared with its query's cut, which excludes
// nothing that could still be a neighbour; the few that pass are looked at closely, and kept or not.
#pragma once
#include "kernels/cuda/key_filter.cuh"
#include "kernels/cuda/scan.h"

namespace fastret::cuda {

constexpr int kQueueLength = 512;  // pairs that a warp looks at together

// In shared memory, for one tile of queries and one of keys.
struct ScanTile {
  KeyFacts keys[kKeyTile];
  float cuts[kMostScanQueries];
  float warp_residuals[kKeyTile / 32], warp_norms[kKeyTile / 32];
};

// A pair that passed its cut, within the tile.
struct ScanHit {
  float value;
  uint16_t query, key;
};

// The query at a place of a scan, or -1.
__device__ __forceinline__ int64_t query_at(const ScanParams& p, int64_t place) {
  const uint32_t* list = p.finer.list;
  if (!list) return place < p.num_queries ? place : -1;
  return place < list[0] ? int64_t(list[1 + place]) : -1;
}

// The facts of a key, as one that is never found where a filter forbids it to all queries.
__device__ __forceinline__ KeyFacts facts_if_allowed(const ScanParams& p, int64_t key) {
  return key < p.num_keys && is_allowed(p.filter, key) ? p.key_facts[key] : KeyFacts{0, 0, NAN, 0};
}

// Fills `tile` by `Threads` threads, which `barrier` joins: thread t brings the facts of keys t, t + Threads
// and so on, and the threshold of query first_query + t.
template <int Threads, class Barrier>
__device__ __forceinline__ void fill_tile(ScanTile& tile, const ScanParams& p, int thread,
                                          const KeyFacts (&facts)[kKeyTile / Threads], int64_t first_query,
                                          int num_queries, Barrier&& barrier) {
#pragma unroll
  for (int i = 0; i < kKeyTile / Threads; ++i) {
    const int key = i * Threads + thread;
    tile.keys[key] = facts[i];
    float residual = facts[i].residual, norm = facts[i].norm;
    for (int distance = 16; distance > 0; distance /= 2) {
      residual = fmaxf(residual, __shfl_xor_sync(kAllLanes, residual, distance));  // fmaxf skips NaN
      norm = fmaxf(norm, __shfl_xor_sync(kAllLanes, norm, distance));
    }
    tile.warp_residuals[key / 32] = residual;
    tile.warp_norms[key / 32] = norm;
  }
  barrier();
  if (thread < num_queries) {
    KeyFacts widest = {};
    for (int w = 0; w < kKeyTile / 32; ++w) {
      widest.residual = fmaxf(widest.residual, tile.warp_residuals[w]);
      widest.norm = fmaxf(widest.norm, tile.warp_norms[w]);
    }
    const int64_t query = query_at(p, first_query + thread);
    float cut = INFINITY;
    if (query >= 0 && p.thresholds[query] < INFINITY) {
      const float threshold = p.thresholds[query];
      const float half = width(p.query_facts[query], p.squared_extra, widest);
      // The rounding of both sums is left as room.
      cut = threshold - half - (fabsf(threshold) + half) * 0x1p-22f;
    }
    tile.cuts[thread] = cut;
  }
  barrier();
}

// Looks at one pair closely and keeps it unless it cannot be a neighbour.
__device__ __forceinline__ void offer(const ScanParams& p, const ScanTile& tile, int64_t first_query,
                                      int64_t first_key, const ScanHit& hit) {
  const int64_t query = query_at(p, first_query + hit.query), key = first_key + hit.key;
  if (query < 0) return;
  const float threshold = p.thresholds[query];
  const QueryFacts facts = p.query_facts[query];
  const Ends interval = ends(hit.value, facts, p.squared_extra, tile.keys[hit.key]);
  // NaN, of a key that is never found, compares false.
  if (!(interval.upper >= threshold) || threshold == INFINITY || interval.lower > facts.ceiling_high) return;
  if (forbids(p.filter, query, key)) return;
  const uint32_t place = atomicAdd(&p.survivors.counts[query], 1u);
  if (place < p.survivors.capacity) {
    // The value of a pair that the pass tells nothing about may be NaN, which would be no entry.
    const float value = hit.value == hit.value ? hit.value : 0.0f;
    p.survivors.keys[query * p.survivors.capacity + place] = rank_key(ordered_bits(value), uint32_t(key));
  }
}

// Called by a whole warp, each lane with `Count` values: those that reach their cuts are offered. value(i),
// cut(i), query(i) and key(i) are those of value i, the latter two within the tile. `queue`: 32 Count of this
// warp's own.
template <int Count, class Value, class Cut, class Query, class Key>
__device__ __forceinline__ void offer_values(const ScanParams& p, const ScanTile& tile, int64_t first_query,
                                             int64_t first_key, ScanHit* queue, Value&& value, Cut&& cut,
                                             Query&& query, Key&& key) {
  static_assert(Count * 32 <= kQueueLength);
  bool any = false;
#pragma unroll
  for (int i = 0; i < Count; ++i) any |= !(value(i) < cut(i));  // NaN is looked at closely
  if (!__ballot_sync(kAllLanes, any)) return;
  const int lane = threadIdx.x % 32;
  int length = 0;
#pragma unroll
  for (int i = 0; i < Count; ++i) {
    const bool hit = !(value(i) < cut(i));
    const unsigned hits = __ballot_sync(kAllLanes, hit);
    if (hit)
      queue[length + __popc(hits & ((1u << lane) - 1))] = {value(i), uint16_t(query(i)), uint16_t(key(i))};
    length += __popc(hits);
  }
  __syncwarp();
  for (int i = lane; i < length; i += 32) offer(p, tile, first_query, first_key, queue[i]);
  __syncwarp();
}

}  // namespace fastret::cuda
