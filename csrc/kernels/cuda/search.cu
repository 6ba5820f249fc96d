// Exact search over chunks of keys. After each chunk a query's row of neighbours is the exact answer over the
// keys seen so far; a chunk's pairs are scored canonically, those that beat the row's k-th neighbour become
// candidates unless a filter rejects their keys, and a merge makes the row that of the next chunk. A row has
// room for every key of a chunk, so none can overflow.
#include <algorithm>
#include <vector>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/key_filter.cuh"
#include "kernels/cuda/merge.cuh"
#include "kernels/cuda/score_tile.cuh"

namespace fastret::cuda {
namespace {

struct ChunkParams {
  Rows queries;             // of one pass
  Rows keys;                // of one chunk
  int64_t first_id;         // of the chunk's keys
  uint32_t first_position;  // of the chunk's keys, in rank keys
  KeyFilter filter;         // of the pass and the chunk
  Candidates candidates;
};

// One block per tile, query tiles fastest.
template <Metric metric>
__global__ void __launch_bounds__(kThreads) filter_tiles(ChunkParams p, int64_t query_tiles) {
  __shared__ TileStage stage;
  __shared__ uint32_t ordered[kTileQueries][kTileKeys];
  const int64_t first_query = blockIdx.x % query_tiles * kTileQueries;
  const int64_t first_key = blockIdx.x / query_tiles * kTileKeys;
  const int lane = threadIdx.x % 32;
  const int64_t key = first_key + lane;
  const bool enters = key < p.keys.rows && is_allowed(p.filter, key);
  // Every warp asks about the same keys, so that all of the block leaves a tile in which no key is allowed.
  if (!__ballot_sync(kAllLanes, enters)) return;
  const PairScores pairs = score_tile<metric>(p.queries, first_query, p.keys, first_key, stage);
  for (int i = 0; i < 2; ++i)
    ordered[pairs.query][pairs.key + i] = ordered_bits(rank_value(metric, pairs.scores[i]));
  __syncthreads();

  for (int q = threadIdx.x / 32; q < kTileQueries && first_query + q < p.queries.rows; q += kThreads / 32) {
    const int64_t query = first_query + q;
    uint32_t value = enters ? ordered[q][lane] : 0;
    // Rarely does a value beat a risen threshold: a query's exclusions are read only then.
    if (p.filter.num_excluded > 0 && p.candidates.any_beats(query, value) &&
        is_excluded(p.filter, query, p.first_id + first_key))
      value = 0;
    p.candidates.append(query, value, p.first_position + uint32_t(key));
  }
}

struct Plan {
  int64_t k;         // places that can be filled
  int64_t queries;   // per pass
  int64_t capacity;  // candidates of a query: the largest chunk
  std::vector<int64_t> chunk_ends;
};

Plan plan_search(const SearchParams& p, const SearchTuning& tuning) {
  Plan plan;
  plan.k = std::clamp<int64_t>(p.keys.rows, 1, p.k);
  // A merge costs at least k: chunks of at least k keys keep the sum over all merges near N.
  const int64_t least_capacity = std::max(tuning.first_chunk, plan.k);
  const int64_t bytes_per_candidate = sizeof(uint64_t);
  plan.queries = std::clamp<int64_t>(tuning.candidate_bytes / (least_capacity * bytes_per_candidate), 1,
                                     std::min(tuning.max_queries, std::max<int64_t>(1, p.queries.rows)));
  const int64_t affordable = tuning.candidate_bytes / (plan.queries * bytes_per_candidate);
  plan.capacity = std::max(least_capacity, std::min(tuning.max_chunk, affordable));
  for (int64_t end = 0; end < p.keys.rows;) {
    end = std::min(p.keys.rows, end + std::clamp(end, least_capacity, plan.capacity));
    plan.chunk_ends.push_back(end);
  }
  if (plan.chunk_ends.empty()) plan.chunk_ends.push_back(0);  // no keys: one merge writes the padding
  plan.capacity = std::min(plan.capacity, p.keys.rows);
  return plan;
}

struct Buffers {
  Candidates candidates;
  Neighbours spare;
  uint64_t* lists;
  int64_t bytes;
};

Buffers lay_out(const SearchParams& p, const Plan& plan, void* workspace) {
  Workspace pieces(workspace);
  Buffers buffers = {};
  buffers.candidates.capacity = plan.capacity;
  buffers.candidates.keys = pieces.take<uint64_t>(plan.queries * plan.capacity);
  buffers.candidates.counts = pieces.take<uint32_t>(2 * plan.queries);
  buffers.candidates.thresholds = buffers.candidates.counts + plan.queries;
  if (plan.chunk_ends.size() > 1)
    buffers.spare = {pieces.take<float>(plan.queries * p.k), pieces.take<int64_t>(plan.queries * p.k)};
  buffers.lists = pieces.take<uint64_t>(plan.queries * sorting_list_length(plan.k));
  buffers.bytes = pieces.bytes();
  return buffers;
}

Rows slice(const Rows& rows, int64_t begin, int64_t end) {
  return {element_address(rows.data, rows.dtype, begin * rows.row_stride), end - begin, rows.dim,
          rows.row_stride, rows.dtype};
}

}  // namespace

int64_t search_workspace_bytes(const SearchParams& p, const SearchTuning& tuning) {
  if (p.k == 0) return 0;
  return lay_out(p, plan_search(p, tuning), nullptr).bytes;
}

cudaError_t search(const SearchParams& p, void* workspace, cudaStream_t stream, const SearchTuning& tuning) {
  if (p.k == 0 || p.queries.rows == 0) return cudaSuccess;
  const Plan plan = plan_search(p, tuning);
  if (plan.k + plan.capacity > int64_t(UINT32_MAX)) return cudaErrorInvalidValue;  // positions are 32 bits
  const Buffers buffers = lay_out(p, plan, workspace);
  const auto filter = kernel_of(p.metric, filter_tiles<Metric::inner_product>, filter_tiles<Metric::cosine>,
                                filter_tiles<Metric::l2>);

  Launcher launch(stream);
  for (int64_t first_query = 0; first_query < p.queries.rows; first_query += plan.queries) {
    const int64_t last_query = std::min(p.queries.rows, first_query + plan.queries);
    const Rows queries = slice(p.queries, first_query, last_query);
    const int64_t query_tiles = ceil_div(queries.rows, kTileQueries);
    launch.zero(buffers.candidates.counts,
                2 * plan.queries * int64_t(sizeof(uint32_t)));  // and the thresholds

    // The rows alternate between the result and the spare ones, and end in the result.
    Neighbours next = {p.scores + first_query * p.k, p.ids + first_query * p.k}, previous = buffers.spare;
    if (plan.chunk_ends.size() % 2 == 0) std::swap(previous, next);
    int64_t begin = 0;
    for (const int64_t end : plan.chunk_ends) {
      const int64_t held = begin == 0 ? 0 : plan.k;
      const Rows keys = slice(p.keys, begin, end);
      launch(filter, query_tiles * ceil_div(keys.rows, kTileKeys),
             ChunkParams{queries, keys, begin, uint32_t(held), slice(p.filter, first_query, begin),
                         buffers.candidates},
             query_tiles);
      merge(launch,
            {buffers.candidates, queries.rows, plan.k, p.k, p.metric == Metric::l2, previous, held, next,
             begin},
            buffers.lists);
      std::swap(previous, next);
      begin = end;
    }
  }
  return launch.error();
}

}  // namespace fastret::cuda
