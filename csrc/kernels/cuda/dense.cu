// A block scores 16 queries with a run of keys, tile by tile; each query has a buffer, which the block
// empties down to the k best whenever the next tile could overflow it.
#include "kernels/cuda/dense.cuh"

#include <algorithm>

#include "kernels/cuda/block_select.cuh"
#include "kernels/cuda/key_filter.cuh"
#include "kernels/cuda/query_state.cuh"
#include "kernels/cuda/score_tile.cuh"

namespace fastret::cuda {
namespace {

// Rows of a tile by their numbers; zeros beyond the edges.
struct ListedRows {
  const Rows& rows;
  const int64_t* numbers;  // -1: no row

  __device__ __forceinline__ double operator()(int row, int64_t dim) const {
    if (numbers[row] < 0 || dim >= rows.dim) return 0.0;
    return load_element(rows.data, rows.dtype, numbers[row] * rows.row_stride + dim);
  }
};

// The buffers of one block's queries.
struct Buffers {
  int64_t queries[kTileQueries];  // -1: none
  uint64_t* entries[kTileQueries];
  uint32_t counts[kTileQueries];
  uint32_t thresholds[kTileQueries];  // ordered bits that an entry must exceed once k are held
};

// Called by a whole block.
__device__ __forceinline__ void keep_best(Buffers& buffers, int q, int64_t k, SelectionState& state) {
  uint64_t* entries = buffers.entries[q];
  const uint32_t size = buffers.counts[q];
  const uint64_t kth = kth_largest([entries](int64_t i) { return entries[i]; }, size, uint32_t(k), state);
  const uint32_t kept = keep_in_place(entries, size, state, [kth](uint64_t entry) { return entry >= kth; });
  if (threadIdx.x == 0) {
    buffers.counts[q] = kept;
    if (kept == k) buffers.thresholds[q] = uint32_t(kth >> 32);
  }
  __syncthreads();
}

// Called by a whole warp, for a row of the tile: lane l with the value of key first_key + l, 0 if it has
// none.
__device__ __forceinline__ void append(const DenseParams& p, Buffers& buffers, int q, int64_t first_key,
                                       uint32_t value) {
  const int lane = threadIdx.x % 32;
  const int64_t query = buffers.queries[q], key = first_key + lane;
  // A smaller key of the same value is held already, so that an equal one cannot displace it.
  bool keep = value > buffers.thresholds[q];
  if (p.filter.num_excluded > 0 && __ballot_sync(kAllLanes, keep))
    keep &= !is_excluded(p.filter, query, first_key);
  if (p.filter.query_labels && keep) keep = p.filter.query_labels[query] != p.filter.key_labels[key];
  if (p.ceilings && keep) {
    const float score = rank_value(p.metric, value_of_key(rank_key(value, 0)));
    keep = !beats_ceiling(p.metric, score, p.ceilings[query]);
  }
  const unsigned keepers = __ballot_sync(kAllLanes, keep);
  const uint32_t held = buffers.counts[q];
  if (keep) buffers.entries[q][held + __popc(keepers & ((1u << lane) - 1))] = rank_key(value, uint32_t(key));
  __syncwarp();
  if (lane == 0) buffers.counts[q] = held + uint32_t(__popc(keepers));
}

// Items: 16 of the listed queries with one of `parts` runs of keys. As many parts as fill the grid and as the
// buffers of a query have room for.
template <Metric metric>
__global__ void __launch_bounds__(kThreads, 1) dense_tiles(DenseParams p, int64_t most_parts) {
  __shared__ TileStage stage;
  __shared__ uint32_t ordered[kTileQueries][kTileKeys];
  __shared__ SelectionState state;
  __shared__ Buffers buffers;
  const int64_t listed = p.list[0], groups = (listed + kTileQueries - 1) / kTileQueries;
  if (groups == 0) return;
  const int64_t fitting = int64_t(gridDim.x) / groups;
  const int64_t parts = fitting < 1 ? 1 : fitting < most_parts ? fitting : most_parts;
  const int64_t room = p.survivors.capacity / parts;
  const int64_t key_tiles = (p.keys.rows.rows + kTileKeys - 1) / kTileKeys;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

  for (int64_t item = blockIdx.x; item < groups * parts; item += gridDim.x) {
    const int64_t group = item / parts, part = item % parts;
    __syncthreads();  // the buffers of the item before are done with
    if (threadIdx.x < kTileQueries) {
      const int64_t place = group * kTileQueries + threadIdx.x;
      const int64_t query = place < listed ? int64_t(p.list[1 + place]) : -1;
      buffers.queries[threadIdx.x] = query;
      buffers.entries[threadIdx.x] =
          p.survivors.keys + (query < 0 ? 0 : query) * p.survivors.capacity + part * room;
      buffers.counts[threadIdx.x] = buffers.thresholds[threadIdx.x] = 0;
    }
    __syncthreads();
    const int64_t end_tile = key_tiles * (part + 1) / parts;
    for (int64_t tile = key_tiles * part / parts; tile < end_tile; ++tile) {
      const int64_t first_key = tile * kTileKeys, key = first_key + lane;
      const bool enters = key < p.keys.rows.rows && is_allowed(p.filter, key);
      if (!__syncthreads_or(enters)) continue;
      const PairScores pairs = score_tile<metric>(ListedRows{p.queries, buffers.queries},
                                                  AdjacentRows{p.keys, first_key}, p.queries.dim, stage);
      for (int i = 0; i < 2; ++i)
        ordered[pairs.query][pairs.key + i] = ordered_bits(rank_value(metric, pairs.scores[i]));
      __syncthreads();
      for (int q = warp; q < kTileQueries; q += kWarps)
        if (buffers.queries[q] >= 0) append(p, buffers, q, first_key, enters ? ordered[q][lane] : 0);
      __syncthreads();
      for (int q = 0; q < kTileQueries; ++q)
        if (buffers.counts[q] + kTileKeys > room) keep_best(buffers, q, p.k, state);
    }
    for (int q = 0; q < kTileQueries; ++q) {
      if (buffers.queries[q] < 0) continue;
      if (buffers.counts[q] > p.k) keep_best(buffers, q, p.k, state);
      // The parts of a row lie apart.
      for (int64_t i = buffers.counts[q] + threadIdx.x; i < room; i += kThreads)
        buffers.entries[q][i] = kNothing;
      if (threadIdx.x == 0 && part == 0) p.survivors.counts[buffers.queries[q]] = uint32_t(parts * room);
    }
  }
}

}  // namespace

int64_t dense_capacity(int64_t k, int64_t num_keys) {
  // Beyond the k best there is room for a tile and for half as many entries, so that emptying stays rare.
  const int64_t tiles = ceil_div(num_keys, kTileKeys) + 1;
  return std::min(k + k / 2 + 4 * kTileKeys, tiles * kTileKeys);
}

void answer_densely(Launcher& launch, const DenseParams& p, int64_t blocks) {
  const int64_t most_parts =
      std::max<int64_t>(1, p.survivors.capacity / dense_capacity(p.k, p.keys.rows.rows));
  launch(kernel_of(p.metric, dense_tiles<Metric::inner_product>, dense_tiles<Metric::cosine>,
                   dense_tiles<Metric::l2>),
         blocks, p, most_parts);
}

}  // namespace fastret::cuda
