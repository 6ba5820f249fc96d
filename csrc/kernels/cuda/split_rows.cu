#include "kernels/cuda/split_rows.cuh"

#include "kernels/cuda/element.cuh"

namespace fastret::cuda {
namespace {

constexpr int kRowsPerBlock = kThreads / 32;

// Called by a whole warp: writes the planes of a row, each if it is not nullptr, and returns its norms to
// every lane.
__device__ __forceinline__ RowNorms split_row(const Rows& rows, int64_t row, uint16_t* high, int16_t* low) {
  const int64_t stride = plane_stride(rows.dim), first = row * rows.row_stride;
  double exact = 0, residual = 0, rounded = 0;
  // Two elements per lane, written as one word: planes are even.
  for (int64_t d = 2 * (threadIdx.x % 32); d < stride; d += 64) {
    uint32_t highs = 0, lows = 0;
    for (int i = 0; i < 2; ++i) {
      if (d + i >= rows.dim) continue;
      const float value = load_element(rows.data, rows.dtype, first + d + i);
      const uint32_t bits = bits_of_float(value);
      const uint16_t part = high_of(bits);
      const double x = value, y = widen_bf16(part), difference = x - y;
      exact = fma(x, x, exact);
      rounded = fma(y, y, rounded);
      residual = fma(difference, difference, residual);
      highs |= uint32_t(part) << (16 * i);
      lows |= uint32_t(uint16_t(low_of(bits))) << (16 * i);
    }
    if (high) reinterpret_cast<uint32_t*>(high)[d / 2] = highs;
    if (low) reinterpret_cast<uint32_t*>(low)[d / 2] = lows;
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    exact += __shfl_xor_sync(kAllLanes, exact, distance);
    residual += __shfl_xor_sync(kAllLanes, residual, distance);
    rounded += __shfl_xor_sync(kAllLanes, rounded, distance);
  }
  return {sqrt(exact), sqrt(residual), sqrt(rounded)};
}

__device__ __forceinline__ int64_t row_of_warp() {
  return int64_t(blockIdx.x) * kRowsPerBlock + threadIdx.x / 32;
}

__global__ void __launch_bounds__(kThreads)
    split_key_rows(Rows keys, Metric metric, uint16_t* high, int16_t* low, KeyFacts* facts) {
  const int64_t row = row_of_warp(), stride = plane_stride(keys.dim);
  if (row >= keys.rows) return;
  const RowNorms norms = split_row(keys, row, high + row * stride, low ? low + row * stride : nullptr);
  if (threadIdx.x % 32 == 0) facts[row] = key_facts(metric, norms);
}

__global__ void __launch_bounds__(kThreads) split_visited_rows(VisitedTiles tiles) {
  const int64_t row = row_of_warp(), stride = plane_stride(tiles.keys.dim);
  const int64_t key = tiles.order[tiles.first_visit + row / kKeyTile] * kKeyTile + row % kKeyTile;
  KeyFacts facts = {0, 0, NAN, 0};  // beyond the last key
  if (key < tiles.keys.rows)
    facts = key_facts(tiles.metric, split_row(tiles.keys, key, tiles.high + row * stride, nullptr));
  if (threadIdx.x % 32 == 0) tiles.facts[key] = facts;
}

__global__ void __launch_bounds__(kThreads)
    split_query_rows(Rows queries, Metric metric, const float* ceilings, bool scan, QueryState state) {
  const int64_t row = row_of_warp();
  if (row >= queries.rows) return;
  const RowNorms norms =
      split_row(queries, row, scan ? state.high + row * plane_stride(queries.dim) : nullptr, nullptr);
  if (threadIdx.x % 32 != 0) return;
  const float none = metric == Metric::l2 ? -INFINITY : INFINITY;
  state.facts[row] = query_facts(metric, queries.dim, norms, ceilings ? ceilings[row] : none);
  // Every score of a query with NaN is NaN: it is answered by finding nothing. To a zero query all keys of
  // an inner product are equal, and no bound tells them apart.
  const bool nothing = norms.exact != norms.exact;
  const bool alike = norms.exact == 0 && metric != Metric::l2;
  const bool bounded = scan && fits_first_pass(norms.exact) && !alike;
  state.unanswered[row] = !bounded && !nothing;
  state.thresholds[row] = bounded ? -INFINITY : INFINITY;
}

}  // namespace

void split_keys(Launcher& launch, const Rows& keys, Metric metric, uint16_t* high, int16_t* low,
                KeyFacts* facts) {
  launch(split_key_rows, ceil_div(keys.rows, kRowsPerBlock), keys, metric, high, low, facts);
}

void split_tiles(Launcher& launch, const VisitedTiles& tiles) {
  launch(split_visited_rows, tiles.num_visits * kKeyTile / kRowsPerBlock, tiles);
}

void split_queries(Launcher& launch, const Rows& queries, Metric metric, const float* ceilings, bool scan,
                   const QueryState& state) {
  launch(split_query_rows, ceil_div(queries.rows, kRowsPerBlock), queries, metric, ceilings, scan, state);
}

}  // namespace fastret::cuda
