// Canonical scores of each query with a few keys of its own, one pair per half-warp.
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pair_score.cuh"

namespace fastret::cuda {
namespace {

template <Metric metric>
__global__ void __launch_bounds__(kThreads) score_pairs(PairScoresParams p) {
  const int64_t pair = int64_t(blockIdx.x) * kPairsOfBlock + threadIdx.x / kLanes;
  const bool within = pair < p.queries.rows * p.num_pairs;
  const int64_t key = within ? p.ids[pair] : -1;
  const bool exists = key >= 0 && key < p.keys.rows;
  const float score =
      score_pair<metric>(p.queries, exists ? pair / p.num_pairs : 0, ExactRows{p.keys}, key, exists);
  if (within && threadIdx.x % kLanes == 0) p.scores[pair] = exists ? score : NAN;
}

}  // namespace

cudaError_t pair_scores(const PairScoresParams& p, cudaStream_t stream) {
  Launcher launch(stream);
  launch(kernel_of(p.metric, score_pairs<Metric::inner_product>, score_pairs<Metric::cosine>,
                   score_pairs<Metric::l2>),
         ceil_div(p.queries.rows * p.num_pairs, kPairsOfBlock), p);
  return launch.error();
}

}  // namespace fastret::cuda
