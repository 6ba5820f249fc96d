// Rows divided by their norms, and the gradient of that. A warp works on each row, or a block on each long
// one; a row that their registers hold is read once.
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/row_span.cuh"
#include "kernels/unit_scale.h"

namespace fastret::cuda {
namespace {

constexpr int kWarp = 32;

// The row that this thread works on with `Threads` - 1 others.
template <int Threads>
__device__ __forceinline__ int64_t row_of_thread() {
  return int64_t(blockIdx.x) * (kThreads / Threads) + threadIdx.x / Threads;
}

// The sum over the threads of a row, always in the same order.
template <int Threads>
__device__ __forceinline__ double sum_of_row(double value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(kAllLanes, value, distance);
  if constexpr (Threads > kWarp) {
    __shared__ double of_warps[Threads / kWarp];
    if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = 0;
    for (double of_warp : of_warps) value += of_warp;
  }
  return value;
}

template <int Threads>
__global__ void __launch_bounds__(kThreads) divide_rows(UnitRowsParams p) {
  constexpr int64_t length = RowSpan<Threads>::kLength;
  const int64_t row = row_of_thread<Threads>(), dim = p.rows.dim;
  if (row >= p.rows.rows) return;
  RowSpan<Threads> span = {};
  double square = 0;  // that of a float32 may overflow or vanish as one
  for (int64_t first = 0; first < dim; first += length) {
    span.load(p.rows, row, first);
    for (float value : span.values) square += double(value) * value;
  }
  square = sum_of_row<Threads>(square);
  const double inverse = inverse_norm(square);
  if (threadIdx.x % Threads == 0) p.inverse_norms[row] = inverse;
  const UnitScale scale = unit_scale(inverse);
  // From the last span, which is still held, to the first.
  for (int64_t first = (dim - 1) / length * length; first >= 0; first -= length) {
    if (first + length < dim) span.load(p.rows, row, first);
    for (float& value : span.values) value = scale(value);
    span.store({p.units, p.rows.rows, dim, dim, p.out_dtype}, row, first);
  }
}

template <int Threads>
__global__ void __launch_bounds__(kThreads) divide_rows_backward(UnitRowsBackwardParams p) {
  constexpr int64_t length = RowSpan<Threads>::kLength;
  const int64_t row = row_of_thread<Threads>(), dim = p.rows.dim;
  if (row >= p.rows.rows) return;
  RowSpan<Threads> grad = {}, span = {};
  double dot = 0;
  for (int64_t first = 0; first < dim; first += length) {
    grad.load(p.grad_units, row, first);
    span.load(p.rows, row, first);
    for (int i = 0; i < kSpanValues; ++i) dot += double(grad.values[i]) * span.values[i];
  }
  // The part of the gradient along the row, which a longer or shorter row would not change: (u . g) u.
  const double inverse = p.inverse_norms[row], along = sum_of_row<Threads>(dot) * inverse * inverse;
  for (int64_t first = (dim - 1) / length * length; first >= 0; first -= length) {
    if (first + length < dim) {
      grad.load(p.grad_units, row, first);
      span.load(p.rows, row, first);
    }
    for (int i = 0; i < kSpanValues; ++i)
      grad.values[i] = float((grad.values[i] - along * span.values[i]) * inverse);
    grad.store({p.grad_rows, p.rows.rows, dim, dim, p.rows.dtype}, row, first);
  }
}

template <class Params>
cudaError_t launch_by_length(void (*by_warps)(Params), void (*by_blocks)(Params), const Params& p,
                             cudaStream_t stream) {
  Launcher launch(stream);
  if (p.rows.dim <= RowSpan<kWarp>::kLength)
    launch(by_warps, ceil_div(p.rows.rows * kWarp, kThreads), p);
  else
    launch(by_blocks, p.rows.rows, p);
  return launch.error();
}

}  // namespace

cudaError_t unit_rows(const UnitRowsParams& p, cudaStream_t stream) {
  return launch_by_length(divide_rows<kWarp>, divide_rows<kThreads>, p, stream);
}

cudaError_t unit_rows_backward(const UnitRowsBackwardParams& p, cudaStream_t stream) {
  return launch_by_length(divide_rows_backward<kWarp>, divide_rows_backward<kThreads>, p, stream);
}

}  // namespace fastret::cuda
