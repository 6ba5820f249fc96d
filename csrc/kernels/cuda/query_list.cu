#include "kernels/cuda/query_list.cuh"

#include "kernels/cuda/block_select.cuh"

namespace fastret::cuda {
namespace {

// One block, so that the list is in order.
__global__ void __launch_bounds__(kThreads)
    list_rows(const uint32_t* answers, int64_t num_queries, QueryAnswer wanted, uint32_t* list) {
  __shared__ uint32_t warp_totals[kWarps];
  uint32_t listed = 0;
  for (int64_t first = 0; first < num_queries; first += kThreads) {
    const int64_t query = first + threadIdx.x;
    const bool mine = query < num_queries && answers[query] == wanted;
    uint32_t total;
    const uint32_t place = listed + block_exclusive_sum(mine, warp_totals, total);
    if (mine) list[1 + place] = uint32_t(query);
    listed += total;
  }
  if (threadIdx.x == 0) list[0] = listed;
}

__global__ void __launch_bounds__(kThreads)
    restart_rows(const uint32_t* list, uint32_t* counts, uint32_t* answers) {
  const int64_t place = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (place >= list[0]) return;
  counts[list[1 + place]] = 0;
  answers[list[1 + place]] = kByScan;
}

}  // namespace

void list_queries(Launcher& launch, const uint32_t* answers, int64_t num_queries, QueryAnswer wanted,
                  uint32_t* list) {
  launch(list_rows, 1, answers, num_queries, wanted, list);
}

void restart_queries(Launcher& launch, const uint32_t* list, int64_t num_queries, uint32_t* counts,
                     uint32_t* answers) {
  launch(restart_rows, ceil_div(num_queries, kThreads), list, counts, answers);
}

}  // namespace fastret::cuda
