// Scores of levels with AVX-512. Intrinsics and C headers only: see
// kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/level_scores.h"

namespace fastret {
namespace {

// The bytes that `count` <= 16 levels lie in. Loads of whole registers, where
// these are known to be, take half the time of masked ones.
template <int bits>
__m128i load_bytes(const uint8_t* code, int64_t count) {
  if (bits == 8 && count == 16) return _mm_loadu_si128((const __m128i*)code);
  if (bits == 4 && count == 16) return _mm_loadl_epi64((const __m128i*)code);
  const int64_t bytes = (bits * count + 7) / 8;
  return _mm_maskz_loadu_epi8(__mmask16((1u << bytes) - 1), code);
}

// Up to 16 levels as int32; those past `count` are anything.
template <int bits>
__m512i load_levels(const uint8_t* code, int64_t count) {
  const __m128i bytes = load_bytes<bits>(code, count);
  if (bits == 8) return _mm512_cvtepu8_epi32(bytes);
  if (bits == 4) {
    const __m128i pairs = _mm_cvtepu8_epi16(bytes);
    const __m128i levels = _mm_and_si128(_mm_or_si128(pairs, _mm_slli_epi16(pairs, 4)), _mm_set1_epi8(15));
    return _mm512_cvtepu8_epi32(levels);
  }
  // Each group of four lanes takes three bytes of its own and shifts them by 0,
  // 6, 12 and 18.
  const __m512i first_byte = _mm512_set_epi32(9, 9, 9, 9, 6, 6, 6, 6, 3, 3, 3, 3, 0, 0, 0, 0);
  const __m512i places = _mm512_add_epi32(_mm512_mullo_epi32(first_byte, _mm512_set1_epi32(0x010101)),
                                          _mm512_set1_epi32(int(0x80020100)));
  const __m512i shifts = _mm512_broadcast_i32x4(_mm_set_epi32(18, 12, 6, 0));
  const __m512i words = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(bytes), places);
  return _mm512_and_si512(_mm512_srlv_epi32(words, shifts), _mm512_set1_epi32(63));
}

__m256 halves_added(__m512 v) {
  return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

template <int bits, bool squared>
void score_levels_of(const LevelTerms& terms, const uint8_t* codes, int64_t row_bytes, int count,
                     float* target) {
  for (int first = 0; first < count; first += kLevelRows) {
    const uint8_t* rows[kLevelRows];  // past the end the last row stands in
    for (int i = 0; i < kLevelRows; ++i)
      rows[i] = codes + (first + i < count ? first + i : count - 1) * row_bytes;
    __m512 sums[kLevelRows];
    for (auto& sum : sums) sum = _mm512_setzero_ps();
    const auto add = [&](int64_t d, int64_t width) {
      const __mmask16 mask = __mmask16((1u << width) - 1);
      const __m512 step = _mm512_maskz_loadu_ps(mask, terms.steps + d);
      const __m512 aim = squared ? _mm512_maskz_loadu_ps(mask, terms.targets + d) : _mm512_setzero_ps();
#pragma GCC unroll 4
      for (int i = 0; i < kLevelRows; ++i) {
        const __m512 level = _mm512_cvtepi32_ps(load_levels<bits>(rows[i] + d * bits / 8, width));
        const __m512 difference = squared ? _mm512_fnmadd_ps(step, level, aim) : step;
        sums[i] = _mm512_fmadd_ps(difference, squared ? difference : level, sums[i]);
      }
    };
    int64_t d = 0;
    for (; d + 16 <= terms.dim; d += 16) add(d, 16);
    if (d < terms.dim) add(d, terms.dim - d);
    const __m256 pairs = _mm256_hadd_ps(halves_added(sums[0]), halves_added(sums[1]));
    const __m256 others = _mm256_hadd_ps(halves_added(sums[2]), halves_added(sums[3]));
    const __m256 fours = _mm256_hadd_ps(pairs, others);
    const __m128 all = _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps(fours, 1));
    const int left = count - first < kLevelRows ? count - first : kLevelRows;
    _mm_mask_storeu_ps(target + first, __mmask8((1u << left) - 1), all);
  }
}

}  // namespace

void score_levels_avx512(const LevelTerms& terms, const uint8_t* codes, int64_t row_bytes, int count,
                         float* sums) {
  static constexpr ScoreLevels sums_of[3] = {score_levels_of<4, false>, score_levels_of<6, false>,
                                             score_levels_of<8, false>};
  static constexpr ScoreLevels squares_of[3] = {score_levels_of<4, true>, score_levels_of<6, true>,
                                                score_levels_of<8, true>};
  (terms.targets ? squares_of : sums_of)[terms.bits / 2 - 2](terms, codes, row_bytes, count, sums);
}

}  // namespace fastret
