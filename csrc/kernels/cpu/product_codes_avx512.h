// What the first passes over product codes share with AVX-512. Intrinsics and C headers only: see
// kernels.cmake.
#pragma once
#include <immintrin.h>

#include "kernels/code_primitives.h"

namespace fastret {
namespace {

// Sums of 64 rows in 16 bits. Adding whole words adds the odd bytes into the upper halves, too: what they
// come to is subtracted at the end, modulo 2^16.
struct Sums {
  __m512i words = _mm512_setzero_si512(), odd = _mm512_setzero_si512();

  void add(__m512i bytes) {
    words = _mm512_add_epi16(words, bytes);
    odd = _mm512_add_epi16(odd, _mm512_srli_epi16(bytes, 8));
  }

  void store(uint16_t* sums) const {
    const __m512i even = _mm512_sub_epi16(words, _mm512_slli_epi16(odd, 8));
    // 128-bit lane i holds rows 16 i on and 16 i + 8 on.
    const __m512i low = _mm512_unpacklo_epi16(even, odd), high = _mm512_unpackhi_epi16(even, odd);
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i last = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    _mm512_storeu_si512(sums, _mm512_permutex2var_epi64(low, first, high));
    _mm512_storeu_si512(sums + 32, _mm512_permutex2var_epi64(low, last, high));
  }
};

}  // namespace

void column_scores_avx512(Term, const float*, const float*, int64_t, int64_t, float*);
int64_t nearest_column_avx512(const float*, const float*, int64_t, int64_t);
Extent extent_avx512(const float*, int64_t);
void quantise_avx512(const float*, int64_t, float, float, uint8_t*);
void transpose_avx512(const uint8_t*, int64_t, int64_t, uint8_t*);
SumLevels sum_nibbles_avx512;
void score_nibbles_avx512(const float*, int64_t, const uint8_t*, int64_t, int64_t, float*);
void at_most_avx512(const uint16_t*, uint16_t, uint64_t*);
void reaching_avx512(const uint16_t*, const float*, float, float, uint64_t*);

}  // namespace fastret
