// Scores of levels with AVX2 and FMA. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/level_scores.h"

namespace fastret {
namespace {

// Eight levels as int32.
template <int bits>
__m256i load_levels(const uint8_t* code) {
  uint64_t word = 0;
  memcpy(&word, code, bits);
  const __m128i bytes = _mm_cvtsi64_si128((long long)word);
  if (bits == 8) return _mm256_cvtepu8_epi32(bytes);
  if (bits == 4) {
    const __m128i pairs = _mm_cvtepu8_epi16(bytes);
    const __m128i levels = _mm_and_si128(_mm_or_si128(pairs, _mm_slli_epi16(pairs, 4)), _mm_set1_epi8(15));
    return _mm256_cvtepu8_epi32(levels);
  }
  // Each half takes three bytes of its own and shifts them by 0, 6, 12 and 18.
  const __m256i places =
      _mm256_setr_epi64x(0x8002010080020100, 0x8002010080020100, 0x8005040380050403, 0x8005040380050403);
  const __m256i shifts = _mm256_setr_epi32(0, 6, 12, 18, 0, 6, 12, 18);
  const __m256i words = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), places);
  return _mm256_and_si256(_mm256_srlv_epi32(words, shifts), _mm256_set1_epi32(63));
}

// Fewer than eight levels, the others 0.
template <int bits>
__m256i load_tail(const uint8_t* code, int64_t count) {
  uint8_t whole[8] = {};
  memcpy(whole, code, size_t(bits * count + 7) / 8);
  return load_levels<bits>(whole);
}

template <int bits, bool squared>
void score_levels_of(const LevelTerms& terms, const uint8_t* codes, int64_t row_bytes, int count,
                     float* target) {
  const int64_t whole = terms.dim / 8 * 8;
  const int64_t left = terms.dim - whole;
  float tail_steps[8] = {}, tail_aims[8] = {};
  memcpy(tail_steps, terms.steps + whole, size_t(left) * sizeof(float));
  if (squared) memcpy(tail_aims, terms.targets + whole, size_t(left) * sizeof(float));
  const auto add = [](__m256i levels, __m256 step, __m256 aim, __m256 sum) {
    const __m256 level = _mm256_cvtepi32_ps(levels);
    const __m256 difference = squared ? _mm256_fnmadd_ps(step, level, aim) : step;
    return _mm256_fmadd_ps(difference, squared ? difference : level, sum);
  };
  for (int first = 0; first < count; first += kLevelRows) {
    const uint8_t* rows[kLevelRows];  // past the end the last row stands in
    for (int i = 0; i < kLevelRows; ++i)
      rows[i] = codes + (first + i < count ? first + i : count - 1) * row_bytes;
    __m256 sums[kLevelRows];
    for (auto& sum : sums) sum = _mm256_setzero_ps();
    for (int64_t d = 0; d < whole; d += 8) {
      const __m256 step = _mm256_loadu_ps(terms.steps + d);
      const __m256 aim = squared ? _mm256_loadu_ps(terms.targets + d) : _mm256_setzero_ps();
#pragma GCC unroll 4
      for (int i = 0; i < kLevelRows; ++i)
        sums[i] = add(load_levels<bits>(rows[i] + d * bits / 8), step, aim, sums[i]);
    }
    for (int i = 0; left && i < kLevelRows; ++i)
      sums[i] = add(load_tail<bits>(rows[i] + whole * bits / 8, left), _mm256_loadu_ps(tail_steps),
                    _mm256_loadu_ps(tail_aims), sums[i]);
    const __m256 fours = _mm256_hadd_ps(_mm256_hadd_ps(sums[0], sums[1]), _mm256_hadd_ps(sums[2], sums[3]));
    float all[kLevelRows];
    _mm_storeu_ps(all, _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps(fours, 1)));
    for (int i = 0; i < kLevelRows && first + i < count; ++i) target[first + i] = all[i];
  }
}

}  // namespace

void score_levels_avx2(const LevelTerms& terms, const uint8_t* codes, int64_t row_bytes, int count,
                       float* sums) {
  static constexpr ScoreLevels sums_of[3] = {score_levels_of<4, false>, score_levels_of<6, false>,
                                             score_levels_of<8, false>};
  static constexpr ScoreLevels squares_of[3] = {score_levels_of<4, true>, score_levels_of<6, true>,
                                                score_levels_of<8, true>};
  (terms.targets ? squares_of : sums_of)[terms.bits / 2 - 2](terms, codes, row_bytes, count, sums);
}

}  // namespace fastret
