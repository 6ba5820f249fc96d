// The first pass over product codes with AVX-512 VBMI, whose two-register permutation looks up 64 bytes in a
// table of 128. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/code_primitives.h"

namespace fastret {
namespace {

void quantise(const float* values, int64_t n, float origin, float scale, uint8_t* levels) {
  for (int64_t i = 0; i < n; i += 16) {
    const __m512 above = _mm512_sub_ps(_mm512_loadu_ps(values + i), _mm512_set1_ps(origin));
    const __m512i level = _mm512_cvttps_epi32(_mm512_mul_ps(above, _mm512_set1_ps(scale)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(levels + i), _mm512_cvtusepi32_epi8(level));
  }
}

// 16 x 16 bytes: each of the four rounds interleaves row r with row r + 8.
void transpose_tile(__m128i* tile) {
  __m128i other[16];
  for (int round = 0; round < 4; ++round) {
    for (int r = 0; r < 8; ++r) {
      other[2 * r] = _mm_unpacklo_epi8(tile[r], tile[r + 8]);
      other[2 * r + 1] = _mm_unpackhi_epi8(tile[r], tile[r + 8]);
    }
    for (int r = 0; r < 16; ++r) tile[r] = other[r];
  }
}

void transpose(const uint8_t* rows, int64_t num_rows, int64_t width, uint8_t* block) {
  for (int64_t first = 0; first < num_rows; first += 16) {
    const int count = num_rows - first >= 16 ? 16 : int(num_rows - first);
    for (int64_t column = 0; column < width; column += 16) {
      const int columns = width - column >= 16 ? 16 : int(width - column);
      const __mmask16 mask = __mmask16((1u << columns) - 1);
      __m128i tile[16];
      for (int r = 0; r < 16; ++r)
        tile[r] = _mm_maskz_loadu_epi8(r < count ? mask : __mmask16(0), rows + (first + r) * width + column);
      transpose_tile(tile);
      for (int c = 0; c < columns; ++c)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(block + (column + c) * kBlockRows + first), tile[c]);
    }
  }
}

// Sums of 64 rows in 16 bits. Adding whole words adds the odd bytes into the upper halves, too: what they
// come to is subtracted at the end, modulo 2^16.
struct Sums {
  __m512i words, odd;
};

__m512 bound(__m256i sums, __m512 step, __m512 offsets) {
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(sums)), step, offsets);
}

uint64_t reaching_of(const Sums& sums, const float* offsets, __m512 step, __m512 limit) {
  const __m512i odd = sums.odd, even = _mm512_sub_epi16(sums.words, _mm512_slli_epi16(odd, 8));
  const __m512i halves[2] = {_mm512_unpacklo_epi16(even, odd), _mm512_unpackhi_epi16(even, odd)};
  // 128-bit lane i of half h holds rows 16 i + 8 h on.
  const __m512i low =
      _mm512_permutex2var_epi64(halves[0], _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), halves[1]);
  const __m512i high =
      _mm512_permutex2var_epi64(halves[0], _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), halves[1]);
  const __m256i quarters[4] = {_mm512_castsi512_si256(low), _mm512_extracti64x4_epi64(low, 1),
                               _mm512_castsi512_si256(high), _mm512_extracti64x4_epi64(high, 1)};
  uint64_t mask = 0;
  for (int i = 0; i < 4; ++i) {
    const __m512 lower = bound(quarters[i], step, _mm512_loadu_ps(offsets + 16 * i));
    mask |= uint64_t(_mm512_cmp_ps_mask(lower, limit, _CMP_LE_OQ)) << (16 * i);
  }
  return mask;
}

void reaching(const uint8_t* levels, const uint8_t* block, int64_t num_codes, const float* offsets,
              float step, float limit, uint64_t* masks) {
  constexpr int kVectors = kBlockRows / 64;
  Sums sums[kVectors];
  for (Sums& sum : sums) sum = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  for (int64_t m = 0; m < num_codes; ++m) {
    __m512i table[4];
    for (int i = 0; i < 4; ++i) table[i] = _mm512_loadu_si512(levels + m * kLevels + 64 * i);
    for (int v = 0; v < kVectors; ++v) {
      const __m512i codes = _mm512_loadu_si512(block + m * kBlockRows + 64 * v);
      const __m512i low = _mm512_permutex2var_epi8(table[0], codes, table[1]);
      const __m512i high = _mm512_permutex2var_epi8(table[2], codes, table[3]);
      const __m512i found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high);
      sums[v].words = _mm512_add_epi16(sums[v].words, found);
      sums[v].odd = _mm512_add_epi16(sums[v].odd, _mm512_srli_epi16(found, 8));
    }
  }
  for (int v = 0; v < kVectors; ++v)
    masks[v] = reaching_of(sums[v], offsets + 64 * v, _mm512_set1_ps(step), _mm512_set1_ps(limit));
}

}  // namespace

void column_scores_avx512(Term, const float*, const float*, int64_t, int64_t, float*);
int64_t first_smallest_avx512(const float*, int64_t);

extern const CodePrimitives kAvx512VbmiCodes;
const CodePrimitives kAvx512VbmiCodes = {column_scores_avx512, first_smallest_avx512, quantise, transpose,
                                         reaching};

}  // namespace fastret
