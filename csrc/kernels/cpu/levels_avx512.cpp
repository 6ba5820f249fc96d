// Levels with AVX-512. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/levels.h"

namespace fastret {

void decode_levels_avx512(const uint8_t* levels, int64_t n, const LevelRange& range, const float* centroid,
                          float* target) {
  const __m512 steps = _mm512_set1_ps(range.steps), inverse = _mm512_set1_ps(1 / range.steps);
  const __m512 half = _mm512_set1_ps(0.5f);
  for (int64_t d = 0; d < n; d += 16) {
    const __mmask16 mask = n - d < 16 ? __mmask16((1u << (n - d)) - 1) : __mmask16(0xffff);
    const __m128i bytes = _mm_maskz_loadu_epi8(mask, levels + d);
    const __m512 middle = _mm512_add_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)), half);
    const __m512 near = _mm512_mul_ps(middle, inverse);
    const __m512 share = _mm512_fmadd_ps(_mm512_fnmadd_ps(near, steps, middle), inverse, near);
    __m512 value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, range.least + d),
                                 _mm512_mul_ps(share, _mm512_maskz_loadu_ps(mask, range.width + d)));
    if (centroid) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, centroid + d));
    _mm512_mask_storeu_ps(target + d, mask, value);
  }
}

}  // namespace fastret
