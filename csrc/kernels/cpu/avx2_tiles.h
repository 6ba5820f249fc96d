// The dot product tiles of the 256-bit sets, over the instructions that multiply and add 4 bytes per lane.
// Intrinsics and C headers only: see kernels.cmake.
#pragma once
#include <immintrin.h>

#include "kernels/isa.h"

namespace fastret {
namespace {

// Half a panel at a time, of 16 registers: 6 x 2 accumulators, 2 panel vectors, 1 broadcast, 1 product. One
// or two queries meet all of a panel, which is then read once: 2 x 4 accumulators, 4 panel vectors, 1
// broadcast.
constexpr int kTileQueries = 6;
constexpr int kPrefetchSteps = 32;  // ahead; a tile of few queries waits for memory

template <class Step, int num_queries>
void dot_tile_of(const int32_t* queries, const int32_t* start, const int32_t* panel, int64_t steps,
                 int32_t* dots) {
  constexpr int num_vectors = num_queries <= 2 ? 4 : 2;
  for (int first = 0; first < kPanelKeys; first += 8 * num_vectors) {
    __m256i sums[num_queries][num_vectors];
#pragma GCC unroll 6
    for (int r = 0; r < num_queries; ++r)
#pragma GCC unroll 4
      for (int i = 0; i < num_vectors; ++i) sums[r][i] = _mm256_set1_epi32(start[r]);
#pragma GCC unroll 1
    for (int64_t s = 0; s < steps; ++s) {
      const int32_t* step = panel + s * kPanelKeys + first;
      __m256i keys[num_vectors];
#pragma GCC unroll 4
      for (int i = 0; i < num_vectors; ++i)
        keys[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(step + 8 * i));
      if constexpr (num_vectors == 4) {
        _mm_prefetch(reinterpret_cast<const char*>(step + kPrefetchSteps * kPanelKeys), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(step + kPrefetchSteps * kPanelKeys + 16), _MM_HINT_T0);
      }
#pragma GCC unroll 6
      for (int r = 0; r < num_queries; ++r) {
        const __m256i query = _mm256_set1_epi32(queries[s * num_queries + r]);
#pragma GCC unroll 4
        for (int i = 0; i < num_vectors; ++i) sums[r][i] = Step::add(sums[r][i], keys[i], query);
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < num_queries; ++r)
#pragma GCC unroll 4
      for (int i = 0; i < num_vectors; ++i)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(dots + r * kPanelKeys + first + 8 * i), sums[r][i]);
  }
}

template <class Step>
void dot_tile_with(const void* queries, int num_queries, const int32_t* start, const void* panel,
                   int64_t steps, void* dots) {
  using Tile = void (*)(const int32_t*, const int32_t*, const int32_t*, int64_t, int32_t*);
  static constexpr Tile tiles[kTileQueries] = {dot_tile_of<Step, 1>, dot_tile_of<Step, 2>,
                                               dot_tile_of<Step, 3>, dot_tile_of<Step, 4>,
                                               dot_tile_of<Step, 5>, dot_tile_of<Step, 6>};
  tiles[num_queries - 1](static_cast<const int32_t*>(queries), start, static_cast<const int32_t*>(panel),
                         steps, static_cast<int32_t*>(dots));
}

// Four queries and two keys at a time: 8 sums, 2 squares, 2 keys and a query take 13 of 16 registers.
constexpr int kRowQueries = 4, kRowKeys = 2;

inline float sum_of(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

template <int num_queries>
void row_tile_of(const float* const* queries, const float* const* keys, int64_t dim, float* dots,
                 float* squares) {
  __m256 sums[num_queries][kRowKeys], square_sums[kRowKeys];
  for (auto& row : sums)
    for (auto& sum : row) sum = _mm256_setzero_ps();
  for (auto& sum : square_sums) sum = _mm256_setzero_ps();
  int64_t d = 0;
  for (; d + 8 <= dim; d += 8) {
    __m256 x[kRowKeys];
    for (int i = 0; i < kRowKeys; ++i) {
      x[i] = _mm256_loadu_ps(keys[i] + d);
      square_sums[i] = _mm256_fmadd_ps(x[i], x[i], square_sums[i]);
    }
    for (int r = 0; r < num_queries; ++r) {
      const __m256 q = _mm256_loadu_ps(queries[r] + d);
      for (int i = 0; i < kRowKeys; ++i) sums[r][i] = _mm256_fmadd_ps(x[i], q, sums[r][i]);
    }
  }
  for (int i = 0; i < kRowKeys; ++i) {
    squares[i] = sum_of(square_sums[i]);
    for (int r = 0; r < num_queries; ++r) dots[r * kPanelKeys + i] = sum_of(sums[r][i]);
    for (int64_t e = d; e < dim; ++e) {
      squares[i] += keys[i][e] * keys[i][e];
      for (int r = 0; r < num_queries; ++r) dots[r * kPanelKeys + i] += queries[r][e] * keys[i][e];
    }
  }
}

}  // namespace
}  // namespace fastret
