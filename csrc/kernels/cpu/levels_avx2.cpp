// Levels with AVX2 and FMA. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/levels.h"

namespace fastret {

void decode_levels_avx2(const uint8_t* levels, int64_t n, const LevelRange& range, const float* centroid,
                        float* target) {
  const __m256 steps = _mm256_set1_ps(range.steps), inverse = _mm256_set1_ps(1 / range.steps);
  const __m256 half = _mm256_set1_ps(0.5f);
  int64_t d = 0;
  for (; d + 8 <= n; d += 8) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(levels + d));
    const __m256 middle = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)), half);
    const __m256 near = _mm256_mul_ps(middle, inverse);
    const __m256 share = _mm256_fmadd_ps(_mm256_fnmadd_ps(near, steps, middle), inverse, near);
    __m256 value = _mm256_add_ps(_mm256_loadu_ps(range.least + d),
                                 _mm256_mul_ps(share, _mm256_loadu_ps(range.width + d)));
    if (centroid) value = _mm256_add_ps(value, _mm256_loadu_ps(centroid + d));
    _mm256_storeu_ps(target + d, value);
  }
  for (; d < n; ++d) {
    target[d] = range.least[d] + (float(levels[d]) + 0.5f) / range.steps * range.width[d];
    if (centroid) target[d] += centroid[d];
  }
}

}  // namespace fastret
