// What the first passes over product codes share with AVX-512. Intrinsics and C headers only: see
// kernels.cmake.
#pragma once
#include <immintrin.h>

#include "kernels/code_primitives.h"

namespace fastret {
namespace {

constexpr int kSumVectors = kBlockRows / 64;

// Sums of 64 rows in 16 bits. Adding whole words adds the odd bytes into the upper halves, too: what they
// come to is subtracted at the end, modulo 2^16.
struct Sums {
  __m512i words = _mm512_setzero_si512(), odd = _mm512_setzero_si512();

  void add(__m512i bytes) {
    words = _mm512_add_epi16(words, bytes);
    odd = _mm512_add_epi16(odd, _mm512_srli_epi16(bytes, 8));
  }

  // Bit i: sum i * step + offset i <= limit.
  uint64_t reaching(const float* offsets, __m512 step, __m512 limit) const {
    const __m512i even = _mm512_sub_epi16(words, _mm512_slli_epi16(odd, 8));
    // 128-bit lane i holds rows 16 i on and 16 i + 8 on.
    const __m512i low = _mm512_unpacklo_epi16(even, odd), high = _mm512_unpackhi_epi16(even, odd);
    const __m512i first = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high);
    const __m512i last = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), high);
    const __m256i quarters[4] = {_mm512_castsi512_si256(first), _mm512_extracti64x4_epi64(first, 1),
                                 _mm512_castsi512_si256(last), _mm512_extracti64x4_epi64(last, 1)};
    uint64_t mask = 0;
    for (int i = 0; i < 4; ++i) {
      const __m512 sum = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(quarters[i]));
      const __m512 lower = _mm512_fmadd_ps(sum, step, _mm512_loadu_ps(offsets + 16 * i));
      mask |= uint64_t(_mm512_cmp_ps_mask(lower, limit, _CMP_LE_OQ)) << (16 * i);
    }
    return mask;
  }
};

void reaching_of(const Sums* sums, const float* offsets, float step, float limit, uint64_t* masks) {
  for (int v = 0; v < kSumVectors; ++v)
    masks[v] = sums[v].reaching(offsets + 64 * v, _mm512_set1_ps(step), _mm512_set1_ps(limit));
}

}  // namespace

void column_scores_avx512(Term, const float*, const float*, int64_t, int64_t, float*);
int64_t nearest_column_avx512(const float*, const float*, int64_t, int64_t);
void nearest_columns_avx512(const float*, int64_t, const float*, const float*, int64_t, int64_t, int32_t*);
Extent extent_avx512(const float*, int64_t);
void quantise_avx512(const float*, int64_t, float, float, uint8_t*);
void transpose_avx512(const uint8_t*, int64_t, int64_t, uint8_t*);
Reaching reaching_nibbles_avx512;

}  // namespace fastret
