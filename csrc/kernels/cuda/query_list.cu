#include "kernels/cuda/query_list.cuh"

#include "kernels/cuda/block_select.cuh"

namespace fastret::cuda {
namespace {

// One block, so that the list is in order.
__global__ void __launch_bounds__(kThreads)
    list_rows(uint32_t* answers, int64_t num_queries, QueryAnswer wanted, uint32_t* counts, uint32_t* list) {
  __shared__ uint32_t warp_totals[kWarps];
  uint32_t listed = 0;
  for (int64_t first = 0; first < num_queries; first += kThreads) {
    const int64_t query = first + threadIdx.x;
    const bool mine = query < num_queries && answers[query] == wanted;
    uint32_t total;
    const uint32_t place = listed + block_exclusive_sum(mine, warp_totals, total);
    if (mine) list[1 + place] = uint32_t(query);
    if (mine && counts) {
      counts[query] = 0;
      answers[query] = kByScan;
    }
    listed += total;
  }
  if (threadIdx.x == 0) list[0] = listed;
}

}  // namespace

void list_queries(Launcher& launch, uint32_t* answers, int64_t num_queries, QueryAnswer wanted,
                  uint32_t* counts, uint32_t* list) {
  launch(list_rows, 1, answers, num_queries, wanted, counts, list);
}

}  // namespace fastret::cuda
