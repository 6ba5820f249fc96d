// Panels of keys with AVX, for the vectors of AVX2 and AVX-512. C headers only, and no linkage.
#pragma once
#include <immintrin.h>

#include "kernels/cpu/extra_scores.h"

namespace fastret {
namespace {

// V::store_widened(target, floats) writes 8 floats as float64.
template <class V>
void pack_panel(const float* keys, int64_t row_stride, int64_t count, int64_t dim, double* panel) {
  const auto row_of = [=](int64_t i) { return keys + (i < count ? i : count - 1) * row_stride; };
  for (int first = 0; first < kPanelKeys; first += 8) {
    const float *rows[8], *next[8];
    for (int i = 0; i < 8; ++i) {
      rows[i] = row_of(first + i);
      next[i] = row_of(first + i + 8);
    }
    double* target = panel + first;
    int64_t d = 0;
    for (; d + 4 <= dim; d += 4) {
      if (d % 16 == 0)  // a cache line
        for (const float* row : next) _mm_prefetch(reinterpret_cast<const char*>(row + d), _MM_HINT_T0);
      __m256 pairs[4];  // four dimensions of keys i and i + 4
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i)
        pairs[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[i] + d)),
                                        _mm_loadu_ps(rows[i + 4] + d), 1);
      const __m256 low01 = _mm256_unpacklo_ps(pairs[0], pairs[1]);
      const __m256 low23 = _mm256_unpacklo_ps(pairs[2], pairs[3]);
      const __m256 high01 = _mm256_unpackhi_ps(pairs[0], pairs[1]);
      const __m256 high23 = _mm256_unpackhi_ps(pairs[2], pairs[3]);
      V::store_widened(target + (d + 0) * kPanelKeys, _mm256_shuffle_ps(low01, low23, 0x44));
      V::store_widened(target + (d + 1) * kPanelKeys, _mm256_shuffle_ps(low01, low23, 0xee));
      V::store_widened(target + (d + 2) * kPanelKeys, _mm256_shuffle_ps(high01, high23, 0x44));
      V::store_widened(target + (d + 3) * kPanelKeys, _mm256_shuffle_ps(high01, high23, 0xee));
    }
    for (; d < dim; ++d)
      for (int i = 0; i < 8; ++i) target[d * kPanelKeys + i] = double(rows[i][d]);
  }
}

}  // namespace
}  // namespace fastret
