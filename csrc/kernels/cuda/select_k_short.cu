// Rows that fit shared memory.
#include "kernels/cuda/best_keys.cuh"
#include "kernels/cuda/select_k_paths.cuh"

namespace fastret::cuda {
namespace {

// A block takes as many rows as fit, each padded to row_length, a power of two.
__global__ void __launch_bounds__(kThreads) sort_whole_rows(RankedRows rows, int row_length) {
  __shared__ uint64_t list[kSortInBlock];
  const int rows_in_block = kSortInBlock / row_length;
  const int64_t first_row = int64_t(blockIdx.x) * rows_in_block;
  const int first = threadIdx.x * kKeysPerThread;
  uint64_t keys[kKeysPerThread];
#pragma unroll
  for (int i = 0; i < kKeysPerThread; ++i) {
    const int64_t row = first_row + (first + i) / row_length;
    const int column = (first + i) % row_length;
    keys[i] = row < rows.rows && column < rows.columns ? rows.key(row, column) : kNothing;
  }
  sort_runs(keys, uint32_t(row_length), list);
#pragma unroll
  for (int i = 0; i < kKeysPerThread; ++i) list[first + i] = keys[i];
  __syncthreads();
  for (int r = threadIdx.x / 32; r < rows_in_block && first_row + r < rows.rows; r += kWarps)
    for (int64_t place = threadIdx.x % 32; place < rows.k; place += 32)
      rows.write(first_row + r, place, place < row_length ? list[r * row_length + place] : kNothing);
}

// One block per row.
__global__ void __launch_bounds__(kThreads) select_in_shared(RankedRows rows, uint32_t k) {
  __shared__ SelectionState state;
  __shared__ uint32_t ordered[kSharedColumns];
  __shared__ uint64_t list[kSortInBlock];
  const int64_t row = blockIdx.x;
#pragma unroll 4
  for (int column = threadIdx.x; column < rows.columns; column += kThreads)
    ordered[column] = rows.ordered(rows.load(row, column));
  __syncthreads();
  const auto source = [&](int64_t i) { return rank_key(ordered[i], uint32_t(i)); };
  write_sorted(list, select_largest(source, rows.columns, k, state, list), rows, row);
}

}  // namespace

void sort_short_rows(Launcher& launch, const RankedRows& rows) {
  const int64_t row_length = power_of_two_from(rows.columns);
  launch(sort_whole_rows, ceil_div(rows.rows, kSortInBlock / row_length), rows, int(row_length));
}

void select_shared_rows(Launcher& launch, const RankedRows& rows) {
  launch(select_in_shared, rows.rows, rows, uint32_t(std::min(rows.k, rows.columns)));
}

}  // namespace fastret::cuda
