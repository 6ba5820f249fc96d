// Canonical scores of each query with a few keys of its own: one pair per half-warp, whose 16 threads are the
// 16 canonical lanes.
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/score_tile.cuh"

namespace fastret::cuda {
namespace {

constexpr int kBlockPairs = kThreads / kLanes;

// The canonical fold; every lane ends with the sum, since which of two addends comes first does not show.
__device__ __forceinline__ double fold(double sum) {
  for (int half = kLanes / 2; half; half /= 2) sum = __dadd_rn(sum, __shfl_xor_sync(kAllLanes, sum, half));
  return sum;
}

template <Metric metric>
__global__ void __launch_bounds__(kThreads) score_pairs(PairScoresParams p) {
  const int lane = threadIdx.x % kLanes;
  const int64_t pair = int64_t(blockIdx.x) * kBlockPairs + threadIdx.x / kLanes;
  const bool within = pair < p.queries.rows * p.num_pairs;
  const int64_t query = within ? pair / p.num_pairs : 0;
  const int64_t key = within ? p.ids[pair] : -1;
  const bool exists = key >= 0 && key < p.keys.rows;

  double sum = 0, query_square = 0, key_square = 0;
  // Without a key nothing is read, but the warp folds together.
  for (int64_t d = lane; exists && d < p.keys.dim; d += kLanes) {
    const double q = load_element(p.queries.data, p.queries.dtype, query * p.queries.row_stride + d);
    const double x = load_element(p.keys.data, p.keys.dtype, key * p.keys.row_stride + d);
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
  sum = fold(sum);
  if constexpr (metric == Metric::cosine) {
    query_square = fold(query_square);
    key_square = fold(key_square);
  }
  if (within && lane == 0)
    p.scores[pair] = exists ? canonical_score(metric, sum, query_square, key_square) : NAN;
}

}  // namespace

cudaError_t pair_scores(const PairScoresParams& p, cudaStream_t stream) {
  Launcher launch(stream);
  launch(kernel_of(p.metric, score_pairs<Metric::inner_product>, score_pairs<Metric::cosine>,
                   score_pairs<Metric::l2>),
         ceil_div(p.queries.rows * p.num_pairs, kBlockPairs), p);
  return launch.error();
}

}  // namespace fastret::cuda
