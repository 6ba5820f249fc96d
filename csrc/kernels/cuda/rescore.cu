#include "kernels/cuda/rescore.cuh"

#include <algorithm>

#include "kernels/cuda/pair_score.cuh"
#include "kernels/cuda/query_state.cuh"

namespace fastret::cuda {
namespace {

// `parts` blocks per query.
template <Metric metric>
__global__ void __launch_bounds__(kThreads) rescore_survivors(RescoreParams p, int64_t parts) {
  const int64_t query = blockIdx.x / parts;
  if (p.answers[query] != kByScan) return;
  const int64_t size = p.survivors.counts[query];
  uint64_t* entries = p.survivors.keys + query * p.survivors.capacity;
  for (int64_t first = blockIdx.x % parts * kPairsOfBlock; first < size; first += parts * kPairsOfBlock) {
    const int64_t i = first + threadIdx.x / kLanes;
    const bool exists = i < size;
    const uint32_t key = exists ? position_of_key(entries[i]) : 0;
    const float score = score_pair<metric>(p.queries, query, p.keys, key, exists);
    if (exists && threadIdx.x % kLanes == 0)
      entries[i] = p.ceilings && beats_ceiling(p.metric, score, p.ceilings[query])
                       ? kNothing
                       : rank_key(ordered_bits(rank_value(metric, score)), key);
  }
}

}  // namespace

void rescore(Launcher& launch, const RescoreParams& p, int64_t target_blocks) {
  // Enough blocks for all multiprocessors also where queries are few.
  const int64_t parts = std::clamp<int64_t>(ceil_div(target_blocks, p.queries.rows), 1,
                                            ceil_div(p.survivors.capacity, kPairsOfBlock));
  launch(kernel_of(p.metric, rescore_survivors<Metric::inner_product>, rescore_survivors<Metric::cosine>,
                   rescore_survivors<Metric::l2>),
         p.queries.rows * parts, p, parts);
}

}  // namespace fastret::cuda
