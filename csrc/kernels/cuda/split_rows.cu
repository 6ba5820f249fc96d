#include "kernels/cuda/split_rows.cuh"

#include <algorithm>

#include "kernels/cuda/kernels.h"

namespace fastret::cuda {
namespace {

// Called by a whole warp: writes the planes of row `row` of `rows` as row `target` and returns its norms to
// every lane.
__device__ __forceinline__ RowNorms split_row(const ExactRows& rows, int64_t row, const PlanesOut& planes,
                                              int64_t target) {
  const int64_t stride = plane_stride(rows.rows.dim);
  double exact = 0, residual = 0, rounded = 0;
  // Two elements per lane, written as one word: planes are even.
  for (int64_t d = 2 * (threadIdx.x % 32); d < stride; d += 64) {
    uint32_t highs = 0, lows = 0, middles = 0;
    for (int i = 0; i < 2; ++i) {
      if (d + i >= rows.rows.dim) continue;
      const float value = rows(row, d + i);
      const uint32_t bits = bits_of_float(value);
      const uint16_t part = high_of(bits);
      const double x = value, y = widen_bf16(part), difference = x - y;
      exact = fma(x, x, exact);
      rounded = fma(y, y, rounded);
      residual = fma(difference, difference, residual);
      highs |= uint32_t(part) << (16 * i);
      lows |= uint32_t(uint16_t(low_of(bits))) << (16 * i);
      middles |= uint32_t(middle_of(value)) << (16 * i);
    }
    const int64_t word = (target * stride + d) / 2;
    if (planes.high) reinterpret_cast<uint32_t*>(planes.high)[word] = highs;
    if (planes.low) reinterpret_cast<uint32_t*>(planes.low)[word] = lows;
    if (planes.middle) reinterpret_cast<uint32_t*>(planes.middle)[word] = middles;
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    exact += __shfl_xor_sync(kAllLanes, exact, distance);
    residual += __shfl_xor_sync(kAllLanes, residual, distance);
    rounded += __shfl_xor_sync(kAllLanes, rounded, distance);
  }
  return {sqrt(exact), sqrt(residual), sqrt(rounded)};
}

__device__ __forceinline__ int64_t row_of_warp() {
  return int64_t(blockIdx.x) * kWarps + threadIdx.x / 32;
}

__global__ void __launch_bounds__(kThreads) split_all_rows(SplitRowsParams p) {
  const int64_t row = row_of_warp();
  if (row >= p.rows.rows) return;
  const RowNorms norms = split_row(ExactRows{p.rows}, row, {p.high, p.low}, row);
  if (threadIdx.x % 32 == 0) p.facts[row] = key_facts(p.metric, norms);
}

__global__ void __launch_bounds__(kThreads) split_visited_rows(VisitedTiles tiles) {
  if (tiles.list && tiles.list[0] == 0) return;
  for (int64_t row = row_of_warp(); row < tiles.num_visits * kKeyTile; row += int64_t(gridDim.x) * kWarps) {
    const int64_t key = tiles.order[tiles.first_visit + row / kKeyTile] * kKeyTile + row % kKeyTile;
    KeyFacts facts = {0, 0, NAN, 0};  // beyond the last key
    if (key < tiles.keys.rows.rows)
      facts = key_facts(tiles.metric, split_row(tiles.keys, key, tiles.planes, row));
    if (tiles.facts && threadIdx.x % 32 == 0) tiles.facts[key] = facts;
  }
}

__global__ void __launch_bounds__(kThreads)
    split_query_rows(Rows queries, Metric metric, const float* ceilings, bool scan, QueryState state) {
  const int64_t row = row_of_warp();
  if (row >= queries.rows) return;
  const RowNorms norms = split_row(ExactRows{queries}, row, {state.high, nullptr, state.middle}, row);
  if (threadIdx.x % 32 != 0) return;
  const float ceiling = ceilings ? ceilings[row] : NAN;
  state.facts[row] = query_facts(metric, queries.dim, norms, ceiling);
  state.finer_facts[row] = query_facts(metric, queries.dim, norms, ceiling, true);
  // Every score of a query with NaN is NaN: it is answered by finding nothing. To a zero query all keys of
  // an inner product are equal, and no bound tells them apart.
  const bool nothing = norms.exact != norms.exact;
  const bool alike = norms.exact == 0 && metric != Metric::l2;
  const bool bounded = scan && fits_first_pass(norms.exact) && !alike;
  state.answers[row] = bounded || nothing ? kByScan : kWithoutScan;
  state.thresholds[row] = bounded ? -INFINITY : INFINITY;
}

}  // namespace

cudaError_t split_rows(const SplitRowsParams& p, cudaStream_t stream) {
  Launcher launch(stream);
  launch(split_all_rows, ceil_div(p.rows.rows, kWarps), p);
  return launch.error();
}

void split_tiles(Launcher& launch, const VisitedTiles& tiles, int64_t most_blocks) {
  launch(split_visited_rows, std::min(most_blocks, tiles.num_visits * kKeyTile / kWarps), tiles);
}

void split_queries(Launcher& launch, const Rows& queries, Metric metric, const float* ceilings, bool scan,
                   const QueryState& state) {
  launch(split_query_rows, ceil_div(queries.rows, kWarps), queries, metric, ceilings, scan, state);
}

}  // namespace fastret::cuda
