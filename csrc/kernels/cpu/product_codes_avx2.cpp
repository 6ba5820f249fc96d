// The primitives of product codes with AVX2. Intrinsics and C headers only: see kernels.cmake.
#include "kernels/cpu/byte_transpose.h"

namespace fastret {
namespace {

constexpr int kColumns = 2;  // vectors of them, so that as many sums are in flight

template <Term term>
inline __attribute__((always_inline)) void column_sums(const float* row, const float* columns, int64_t dim,
                                                       int64_t n, __m256* sums) {
  for (int j = 0; j < kColumns; ++j) sums[j] = _mm256_setzero_ps();
  for (int64_t d = 0; d < dim; ++d)
    for (int j = 0; j < kColumns; ++j) {
      const __m256 x = _mm256_set1_ps(row[d]), y = _mm256_loadu_ps(columns + d * n + 8 * j);
      const __m256 difference = _mm256_sub_ps(x, y);
      sums[j] = _mm256_add_ps(
          sums[j], term == Term::product ? _mm256_mul_ps(x, y) : _mm256_mul_ps(difference, difference));
    }
}

template <Term term>
void column_scores_of(const float* row, const float* columns, int64_t dim, int64_t n, float* scores) {
  for (int64_t c = 0; c < n; c += 8 * kColumns) {
    __m256 sums[kColumns];
    column_sums<term>(row, columns + c, dim, n, sums);
    for (int j = 0; j < kColumns; ++j) _mm256_storeu_ps(scores + c + 8 * j, sums[j]);
  }
}

void column_scores(Term term, const float* row, const float* columns, int64_t dim, int64_t n, float* scores) {
  (term == Term::product ? column_scores_of<Term::product>
                         : column_scores_of<Term::squared_difference>)(row, columns, dim, n, scores);
}

int64_t nearest_column(const float* row, const float* columns, int64_t dim, int64_t n) {
  __m256 smallest[kColumns];
  __m256i nearest[kColumns];
  for (int j = 0; j < kColumns; ++j) {
    smallest[j] = _mm256_set1_ps(__builtin_inff());
    nearest[j] = _mm256_setzero_si256();
  }
  for (int64_t c = 0; c < n; c += 8 * kColumns) {
    __m256 sums[kColumns];
    column_sums<Term::squared_difference>(row, columns + c, dim, n, sums);
    for (int j = 0; j < kColumns; ++j) {
      const __m256 less = _mm256_cmp_ps(sums[j], smallest[j], _CMP_LT_OQ);
      smallest[j] = _mm256_blendv_ps(smallest[j], sums[j], less);
      nearest[j] = _mm256_blendv_epi8(nearest[j], _mm256_set1_epi32(int(c)), _mm256_castps_si256(less));
    }
  }
  float values[8 * kColumns];
  int32_t firsts[8 * kColumns];
  for (int j = 0; j < kColumns; ++j) {
    _mm256_storeu_ps(values + 8 * j, smallest[j]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(firsts + 8 * j), nearest[j]);
  }
  float least = values[0];
  int64_t best = firsts[0];
  for (int i = 1; i < 8 * kColumns; ++i)
    if (values[i] < least || (values[i] == least && firsts[i] + i < best)) {
      least = values[i];
      best = firsts[i] + i;
    }
  return best;
}

Extent extent(const float* values, int64_t n) {
  __m256 smallest = _mm256_loadu_ps(values), largest = smallest, zero = _mm256_setzero_ps();
  for (int64_t i = 0; i < n; i += 8) {
    const __m256 value = _mm256_loadu_ps(values + i);
    smallest = _mm256_min_ps(smallest, value);
    largest = _mm256_max_ps(largest, value);
    zero = _mm256_fmadd_ps(value, _mm256_setzero_ps(),
                           zero);  // NaN from the first NaN or infinity on
  }
  float all[2][8];
  _mm256_storeu_ps(all[0], smallest);
  _mm256_storeu_ps(all[1], largest);
  for (int i = 1; i < 8; ++i) {
    all[0][0] = all[0][i] < all[0][0] ? all[0][i] : all[0][0];
    all[1][0] = all[1][i] > all[1][0] ? all[1][i] : all[1][0];
  }
  return {all[0][0], all[1][0], _mm256_movemask_ps(_mm256_cmp_ps(zero, zero, _CMP_UNORD_Q)) == 0};
}

void quantise(const float* values, int64_t n, float origin, float scale, uint8_t* levels) {
  for (int64_t i = 0; i < n; i += 16) {
    __m256i words[2];
    for (int j = 0; j < 2; ++j) {
      const __m256 above = _mm256_sub_ps(_mm256_loadu_ps(values + i + 8 * j), _mm256_set1_ps(origin));
      words[j] = _mm256_cvttps_epi32(_mm256_mul_ps(above, _mm256_set1_ps(scale)));
    }
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words[0], words[1]), 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(levels + i),
                     _mm_packus_epi16(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1)));
  }
}

// Sums of 32 rows in 16 bits. Adding whole words adds the odd bytes into the upper halves, too: what they
// come to is subtracted at the end, modulo 2^16.
struct Sums {
  __m256i words = _mm256_setzero_si256(), odd = _mm256_setzero_si256();

  void add(__m256i bytes) {
    words = _mm256_add_epi16(words, bytes);
    odd = _mm256_add_epi16(odd, _mm256_srli_epi16(bytes, 8));
  }

  void store(uint16_t* sums) const {
    const __m256i even = _mm256_sub_epi16(words, _mm256_slli_epi16(odd, 8));
    // 128-bit lane i holds rows 16 i on and 16 i + 8 on.
    const __m256i low = _mm256_unpacklo_epi16(even, odd), high = _mm256_unpackhi_epi16(even, odd);
    auto* target = reinterpret_cast<__m256i*>(sums);
    _mm256_storeu_si256(target, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(target + 1, _mm256_permute2x128_si256(low, high, 0x31));
  }
};

// Of so many times 32 rows.
template <int vectors>
void sum_nibbles_of(const uint8_t* levels, const uint8_t* block, int64_t num_codes, uint16_t* target) {
  const __m256i lower_half = _mm256_set1_epi8(15);
  Sums sums[vectors];
  for (int64_t m = 0; m < num_codes; m += 2) {
    const auto table = [&](int64_t code) {
      return _mm256_broadcastsi128_si256(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels + code * kNibbleLevels)));
    };
    const __m256i lower = table(m), upper = m + 1 < num_codes ? table(m + 1) : _mm256_setzero_si256();
    for (int v = 0; v < vectors; ++v) {
      const __m256i codes =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + m / 2 * kBlockRows + 32 * v));
      sums[v].add(_mm256_shuffle_epi8(lower, _mm256_and_si256(codes, lower_half)));
      sums[v].add(_mm256_shuffle_epi8(upper, _mm256_and_si256(_mm256_srli_epi16(codes, 4), lower_half)));
    }
  }
  for (int v = 0; v < vectors; ++v) sums[v].store(target + 32 * v);
}

void sum_nibbles(const uint8_t* levels, const uint8_t* block, int64_t num_codes, int64_t num_rows,
                 uint16_t* sums) {
  constexpr int kVectors = 4;  // whose sums stay in registers
  int64_t first = 0;
  for (; num_rows - first > 16 * kVectors; first += 32 * kVectors)
    sum_nibbles_of<kVectors>(levels, block + first, num_codes, sums + first);
  if (first < num_rows) sum_nibbles_of<kVectors / 2>(levels, block + first, num_codes, sums + first);
}

// table[code] in each lane, for the lowest four bits of it.
__m256 look_up(const float* table, __m256i codes) {
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), codes);
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), codes);
  return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28)));
}

void score_nibbles(const float* tables, int64_t table_stride, const uint8_t* block, int64_t num_codes,
                   int64_t num_rows, float* sums) {
  for (int64_t i = 0; i < num_rows; i += 8) {
    __m256 sum = _mm256_setzero_ps();
    for (int64_t m = 0; m < num_codes; m += 2) {
      const __m256i codes = _mm256_cvtepu8_epi32(
          _mm_loadl_epi64(reinterpret_cast<const __m128i*>(block + m / 2 * kBlockRows + i)));
      const float* table = tables + m * table_stride;
      sum = _mm256_add_ps(sum, look_up(table, codes));
      if (m + 1 < num_codes)
        sum = _mm256_add_ps(sum, look_up(table + table_stride, _mm256_srli_epi32(codes, 4)));
    }
    _mm256_storeu_ps(sums + i, sum);
  }
}

void at_most(const uint16_t* sums, uint16_t limit, uint64_t* masks) {
  const __m256i limits = _mm256_set1_epi16(short(limit));
  const auto within = [&](int i) {
    const __m256i mine = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + i));
    return _mm256_cmpeq_epi16(_mm256_min_epu16(mine, limits), mine);
  };
  const auto bits = [&](int i) {  // of 32 sums
    const __m256i bytes = _mm256_packs_epi16(within(i), within(i + 16));
    return uint32_t(_mm256_movemask_epi8(_mm256_permute4x64_epi64(bytes, 0xd8)));
  };
  for (int i = 0; i < kBlockRows; i += 64) masks[i / 64] = bits(i) | uint64_t(bits(i + 32)) << 32;
}

void reaching(const uint16_t* sums, const float* offsets, float step, float limit, uint64_t* masks) {
  const __m256 steps = _mm256_set1_ps(step), limits = _mm256_set1_ps(limit);
  for (int i = 0; i < kBlockRows; i += 64) {
    uint64_t mask = 0;
    for (int j = 0; j < 64; j += 8) {
      const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(sums + i + j));
      const __m256 lower = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(words)), steps,
                                           _mm256_loadu_ps(offsets + i + j));
      mask |= uint64_t(_mm256_movemask_ps(_mm256_cmp_ps(lower, limits, _CMP_LE_OQ))) << j;
    }
    masks[i / 64] = mask;
  }
}

}  // namespace

extern const CodePrimitives kAvx2Codes;
const CodePrimitives kAvx2Codes = {column_scores, nearest_column, extent,        quantise, transpose_bytes,
                                   nullptr,       sum_nibbles,    score_nibbles, at_most,  reaching};

}  // namespace fastret
