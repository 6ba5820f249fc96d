#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/score_tile.cuh"

namespace fastret::cuda {
namespace {

// One block per tile; the tiles of one batch entry lie side by side, query tiles fastest.
template <Metric metric>
__global__ void __launch_bounds__(kThreads)
    pairwise_tiles(PairwiseScoresParams p, Batch batch, int64_t query_tiles, int64_t key_tiles) {
  __shared__ TileStage stage;
  const int64_t entry = blockIdx.x / (query_tiles * key_tiles), tile = blockIdx.x % (query_tiles * key_tiles);
  const int64_t first_query = tile % query_tiles * kTileQueries, first_key = tile / query_tiles * kTileKeys;
  Rows queries = p.queries, keys = p.keys;
  queries.data = element_address(queries.data, queries.dtype, entry * batch.queries_stride);
  keys.data = element_address(keys.data, keys.dtype, entry * batch.keys_stride);

  const PairScores pairs = score_tile<metric>(AdjacentRows{{queries}, first_query},
                                              AdjacentRows{{keys}, first_key}, queries.dim, stage);
  const int64_t query = first_query + pairs.query;
  if (query >= queries.rows) return;
  for (int i = 0; i < 2; ++i) {
    const int64_t key = first_key + pairs.key + i;
    if (key < keys.rows)
      store_element(p.scores, p.out_dtype, (entry * queries.rows + query) * keys.rows + key, pairs.scores[i]);
  }
}

}  // namespace

cudaError_t pairwise_scores(const PairwiseScoresParams& p, const Batch& batch, cudaStream_t stream) {
  Launcher launch(stream);
  const int64_t query_tiles = ceil_div(p.queries.rows, kTileQueries),
                key_tiles = ceil_div(p.keys.rows, kTileKeys);
  launch(kernel_of(p.metric, pairwise_tiles<Metric::inner_product>, pairwise_tiles<Metric::cosine>,
                   pairwise_tiles<Metric::l2>),
         batch.size * query_tiles * key_tiles, p, batch, query_tiles, key_tiles);
  return launch.error();
}

}  // namespace fastret::cuda
