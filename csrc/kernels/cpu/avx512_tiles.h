// The dot product tiles of the 512-bit sets, over the instruction that multiplies and adds 4 bytes per lane.
// Intrinsics and C headers only: see kernels.cmake.
#pragma once
#include <immintrin.h>

#include "kernels/isa.h"

namespace fastret {
namespace {

constexpr int kTileQueries = 14;    // 14 x 2 accumulators, 2 panel vectors, 1 broadcast: 31 of 32 registers
constexpr int kPrefetchSteps = 32;  // ahead; a tile of few queries waits for memory

template <class Step, int num_queries>
void dot_tile_of(const int32_t* queries, const int32_t* start, const int32_t* panel, int64_t steps,
                 int32_t* dots) {
  __m512i sums[num_queries][2];
  for (int r = 0; r < num_queries; ++r) sums[r][0] = sums[r][1] = _mm512_set1_epi32(start[r]);
#pragma GCC unroll 1
  for (int64_t s = 0; s < steps; ++s) {
    const int32_t* step = panel + s * kPanelKeys;
    const __m512i low = _mm512_loadu_si512(step), high = _mm512_loadu_si512(step + 16);
    if constexpr (num_queries <= 4) {
      _mm_prefetch(reinterpret_cast<const char*>(step + kPrefetchSteps * kPanelKeys), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(step + kPrefetchSteps * kPanelKeys + 16), _MM_HINT_T0);
    }
#pragma GCC unroll 14
    for (int r = 0; r < num_queries; ++r) {
      const __m512i query = _mm512_set1_epi32(queries[s * num_queries + r]);
      sums[r][0] = Step::add(sums[r][0], low, query);
      sums[r][1] = Step::add(sums[r][1], high, query);
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < num_queries; ++r) {
    _mm512_storeu_si512(dots + r * kPanelKeys, sums[r][0]);
    _mm512_storeu_si512(dots + r * kPanelKeys + 16, sums[r][1]);
  }
}

template <class Step>
void dot_tile_with(const void* queries, int num_queries, const int32_t* start, const void* panel,
                   int64_t steps, void* dots) {
  using Tile = void (*)(const int32_t*, const int32_t*, const int32_t*, int64_t, int32_t*);
  static constexpr Tile tiles[kTileQueries] = {
      dot_tile_of<Step, 1>,  dot_tile_of<Step, 2>,  dot_tile_of<Step, 3>,  dot_tile_of<Step, 4>,
      dot_tile_of<Step, 5>,  dot_tile_of<Step, 6>,  dot_tile_of<Step, 7>,  dot_tile_of<Step, 8>,
      dot_tile_of<Step, 9>,  dot_tile_of<Step, 10>, dot_tile_of<Step, 11>, dot_tile_of<Step, 12>,
      dot_tile_of<Step, 13>, dot_tile_of<Step, 14>};
  tiles[num_queries - 1](static_cast<const int32_t*>(queries), start, static_cast<const int32_t*>(panel),
                         steps, static_cast<int32_t*>(dots));
}

struct FloatStep {
  static __m512i add(__m512i sum, __m512i keys, __m512i query) {
    return _mm512_castps_si512(
        _mm512_fmadd_ps(_mm512_castsi512_ps(keys), _mm512_castsi512_ps(query), _mm512_castsi512_ps(sum)));
  }
};

}  // namespace
}  // namespace fastret
