// The canonical score of one pair, by a half-warp whose 16 threads are the 16 canonical lanes.
#pragma once
#include "kernels/canonical.h"
#include "kernels/cuda/exact_rows.cuh"
#include "kernels/cuda/score_tile.cuh"

namespace fastret::cuda {

constexpr int kPairsOfBlock = kThreads / kLanes;

// The canonical fold; every lane ends with the sum, since which of two addends comes first does not show.
__device__ __forceinline__ double fold_lanes_together(double sum) {
  for (int half = kLanes / 2; half; half /= 2) sum = __dadd_rn(sum, __shfl_xor_sync(kAllLanes, sum, half));
  return sum;
}

// Called by a whole warp; each half-warp receives the score of its own pair. Where not `exists` nothing is
// read, and the score means nothing.
template <Metric metric>
__device__ __forceinline__ float score_pair(const Rows& queries, int64_t query, const ExactRows& keys,
                                            int64_t key, bool exists) {
  double sum = 0, query_square = 0, key_square = 0;
#pragma unroll 4
  for (int64_t d = threadIdx.x % kLanes; exists && d < queries.dim; d += kLanes) {
    const double q = load_element(queries.data, queries.dtype, query * queries.row_stride + d);
    const double x = keys(key, d);
    if constexpr (metric == Metric::l2) {
      const double difference = __dsub_rn(q, x);
      sum = __dadd_rn(sum, __dmul_rn(difference, difference));
    } else {
      sum = fma(q, x, sum);  // the product is exact
    }
    if constexpr (metric == Metric::cosine) {
      query_square = fma(q, q, query_square);
      key_square = fma(x, x, key_square);
    }
  }
  sum = fold_lanes_together(sum);
  if constexpr (metric == Metric::cosine) {
    query_square = fold_lanes_together(query_square);
    key_square = fold_lanes_together(key_square);
  }
  return canonical_score(metric, sum, query_square, key_square);
}

}  // namespace fastret::cuda
