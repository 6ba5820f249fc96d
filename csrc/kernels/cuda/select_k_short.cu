// Rows that fit shared memory.
#include "kernels/cuda/select_k_paths.cuh"
#include "kernels/cuda/shared_list.cuh"

namespace fastret::cuda {
namespace {

// A block takes as many rows as fit, each padded to row_length, a power of two.
__global__ void __launch_bounds__(kThreads) sort_whole_rows(SelectKParams p, int row_length) {
  __shared__ uint64_t list[kSortInBlock];
  const RankedRows rows(p);
  const int rows_in_block = kSortInBlock / row_length;
  const int64_t first_row = int64_t(blockIdx.x) * rows_in_block;
  const int first = threadIdx.x * kKeysPerThread;
  uint64_t keys[kKeysPerThread];
#pragma unroll
  for (int i = 0; i < kKeysPerThread; ++i) {
    const int64_t row = first_row + (first + i) / row_length;
    const int column = (first + i) % row_length;
    keys[i] = row < p.values.rows && column < p.values.dim ? rows.key(row, column) : kNothing;
  }
  sort_runs(keys, uint32_t(row_length), list);
#pragma unroll
  for (int i = 0; i < kKeysPerThread; ++i) list[first + i] = keys[i];
  __syncthreads();
  for (int r = threadIdx.x / 32; r < rows_in_block && first_row + r < p.values.rows; r += kWarps)
    for (int64_t place = threadIdx.x % 32; place < p.k; place += 32)
      rows.write(first_row + r, place, place < row_length ? list[r * row_length + place] : kNothing);
}

// One block per row.
__global__ void __launch_bounds__(kThreads) select_in_shared(SelectKParams p, uint32_t k) {
  __shared__ SelectionState state;
  __shared__ uint32_t ordered[kSharedColumns];
  __shared__ uint64_t list[kSortInBlock];
  const int64_t row = blockIdx.x;
  const RankedRows rows(p);
#pragma unroll 4
  for (int column = threadIdx.x; column < p.values.dim; column += kThreads)
    ordered[column] = rows.ordered(row, column);
  __syncthreads();
  const auto source = [&](int64_t i) { return rank_key(ordered[i], uint32_t(i)); };
  write_sorted(p, row, list, select_largest(source, p.values.dim, k, state, list));
}

}  // namespace

void sort_short_rows(Launcher& launch, const SelectKParams& p) {
  const int64_t row_length = power_of_two_from(p.values.dim);
  launch(sort_whole_rows, ceil_div(p.values.rows, kSortInBlock / row_length), p, int(row_length));
}

void select_shared_rows(Launcher& launch, const SelectKParams& p) {
  launch(select_in_shared, p.values.rows, p, uint32_t(std::min(p.k, p.values.dim)));
}

}  // namespace fastret::cuda
