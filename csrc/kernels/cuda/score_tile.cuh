// Canonical scores of a tile of pairs (kernels/canonical.h). The 16 canonical lanes of a pair are the 16
// threads of a half-warp, so that each thread adds its lane's terms in order; each half-warp owns
// kPairQueries x kPairKeys pairs.
#pragma once
#include <cuda_runtime.h>

#include "kernels/canonical.h"
#include "kernels/cuda/exact_rows.cuh"
#include "kernels/cuda/tiles.h"

namespace fastret::cuda {

constexpr int kLanes = 16;
constexpr int kPairs = kPairQueries * kPairKeys;
static_assert(kThreads == 16 * kLanes && kPairs == 2 * kLanes && kPairKeys % 2 == 0);

struct TileStage {
  double queries[kTileQueries][kStageDims];
  double keys[kTileKeys][kStageDims];
};

// What each thread of a block receives: the scores of `query` with keys `key` and `key` + 1, indices within
// the tile.
struct PairScores {
  int query, key;
  float scores[2];
};

// Rows of a tile as they lie side by side; zeros beyond the edges, which add nothing to the sums within.
struct AdjacentRows {
  ExactRows source;
  int64_t first_row;

  __device__ __forceinline__ double operator()(int row, int64_t dim) const {
    const bool within = first_row + row < source.rows.rows && dim < source.rows.dim;
    return within ? double(source(first_row + row, dim)) : 0.0;
  }
};

template <class Source>
__device__ __forceinline__ void stage_rows(const Source& source, int num_rows, int64_t first_dim,
                                           double (*staged)[kStageDims]) {
  for (int i = threadIdx.x; i < num_rows * kStageDims; i += kThreads)
    staged[i / kStageDims][i % kStageDims] = source(i / kStageDims, first_dim + i % kStageDims);
}

// The canonical fold, lane[j] += lane[j + h] for h = 8, 4, 2, 1, of Count sums at once. At each step a thread
// keeps the half of its sums that its lane bit names and hands the others to its partner, so that the work
// halves too: lane j ends with the complete sums number j * Count / 16 + i in sums[i], i < Count / 16. Which
// of two addends comes first does not show in a sum.
template <int Bit = kLanes / 2, int Count>
__device__ __forceinline__ void fold_and_deal(double (&sums)[Count], int lane) {
  constexpr int kept_count = Count * Bit / kLanes;
  const bool upper = lane & Bit;
#pragma unroll
  for (int i = 0; i < kept_count; ++i) {
    const double kept = upper ? sums[i + kept_count] : sums[i];
    const double given = upper ? sums[i] : sums[i + kept_count];
    sums[i] = __dadd_rn(kept, __shfl_xor_sync(kAllLanes, given, Bit));
  }
  if constexpr (Bit > 1) fold_and_deal<Bit / 2>(sums, lane);
}

// Called by a whole block. queries(i, d) and keys(i, d): dimension d of row i of the tile, 0 beyond its
// edges.
template <Metric metric, class Queries, class Keys>
__device__ __forceinline__ PairScores score_tile(const Queries& queries, const Keys& keys, int64_t dim,
                                                 TileStage& stage) {
  const int lane = threadIdx.x % kLanes, half_warp = threadIdx.x / kLanes;
  const int query = half_warp / 4 * kPairQueries, key = half_warp % 4 * kPairKeys;
  double sums[kPairs] = {};
  double squares[kLanes] = {};  // of the half-warp's queries, then of its keys

  for (int64_t first_dim = 0; first_dim < dim; first_dim += kStageDims) {
    __syncthreads();
    stage_rows(queries, kTileQueries, first_dim, stage.queries);
    stage_rows(keys, kTileKeys, first_dim, stage.keys);
    __syncthreads();
#pragma unroll 1
    for (int d = lane; d < kStageDims; d += kLanes) {
      double q[kPairQueries], x[kPairKeys];
#pragma unroll
      for (int a = 0; a < kPairQueries; ++a) q[a] = stage.queries[query + a][d];
#pragma unroll
      for (int b = 0; b < kPairKeys; ++b) x[b] = stage.keys[key + b][d];
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair) {
        if constexpr (metric == Metric::l2) {
          const double difference = __dsub_rn(q[pair / kPairKeys], x[pair % kPairKeys]);
          sums[pair] = __dadd_rn(sums[pair], __dmul_rn(difference, difference));
        } else {
          sums[pair] = fma(q[pair / kPairKeys], x[pair % kPairKeys], sums[pair]);  // the product is exact
        }
      }
      if constexpr (metric == Metric::cosine) {
#pragma unroll
        for (int a = 0; a < kPairQueries; ++a) squares[a] = fma(q[a], q[a], squares[a]);
#pragma unroll
        for (int b = 0; b < kPairKeys; ++b)
          squares[kPairQueries + b] = fma(x[b], x[b], squares[kPairQueries + b]);
      }
    }
  }

  fold_and_deal(sums, lane);
  const int query_of_pair = 2 * lane / kPairKeys, key_of_pair = 2 * lane % kPairKeys;
  double query_square = 0, key_squares[2] = {};
  if constexpr (metric == Metric::cosine) {
    fold_and_deal(squares, lane);
    query_square = __shfl_sync(kAllLanes, squares[0], query_of_pair, kLanes);
    for (int i = 0; i < 2; ++i)
      key_squares[i] = __shfl_sync(kAllLanes, squares[0], kPairQueries + key_of_pair + i, kLanes);
  }
  PairScores result = {query + query_of_pair, key + key_of_pair, {}};
  for (int i = 0; i < 2; ++i)
    result.scores[i] = canonical_score(metric, sums[i], query_square, key_squares[i]);
  return result;
}

template <class Kernel>
Kernel kernel_of(Metric metric, Kernel inner_product, Kernel cosine, Kernel l2) {
  return metric == Metric::inner_product ? inner_product : metric == Metric::cosine ? cosine : l2;
}

}  // namespace fastret::cuda
