// The primitives of product codes with AVX-512. Intrinsics and C headers only: see kernels.cmake.
#include "kernels/cpu/product_codes_avx512.h"

#include "kernels/cpu/byte_transpose.h"

namespace fastret {
namespace {

constexpr int kColumns = 4;  // vectors of them, so that as many sums are in flight

template <Term term, int vectors>
inline __attribute__((always_inline)) void column_sums(const float* row, const float* columns, int64_t dim,
                                                       int64_t n, __m512* sums) {
  for (int j = 0; j < vectors; ++j) sums[j] = _mm512_setzero_ps();
  for (int64_t d = 0; d < dim; ++d) {
    const __m512 x = _mm512_set1_ps(row[d]);
    for (int j = 0; j < vectors; ++j) {
      const __m512 y = _mm512_loadu_ps(columns + d * n + 16 * j);
      const __m512 difference = _mm512_sub_ps(x, y);
      sums[j] = _mm512_add_ps(
          sums[j], term == Term::product ? _mm512_mul_ps(x, y) : _mm512_mul_ps(difference, difference));
    }
  }
}

template <Term term>
void column_scores_of(const float* row, const float* columns, int64_t dim, int64_t n, float* scores) {
  __m512 sums[kColumns];
  int64_t c = 0;
  for (; c + 16 * kColumns <= n; c += 16 * kColumns) {
    column_sums<term, kColumns>(row, columns + c, dim, n, sums);
    for (int j = 0; j < kColumns; ++j) _mm512_storeu_ps(scores + c + 16 * j, sums[j]);
  }
  for (; c < n; c += 16) {
    column_sums<term, 1>(row, columns + c, dim, n, sums);
    _mm512_storeu_ps(scores + c, sums[0]);
  }
}

// The smallest sums so far of every kColumns-th vector of columns, and where they first were.
struct Nearest {
  __m512 smallest = _mm512_set1_ps(__builtin_inff());
  __m512i columns = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

  void take(__m512 sums, int64_t first) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __mmask16 less = _mm512_cmp_ps_mask(sums, smallest, _CMP_LT_OQ);
    smallest = _mm512_mask_mov_ps(smallest, less, sums);
    columns = _mm512_mask_add_epi32(columns, less, lanes, _mm512_set1_epi32(int(first)));
  }
};

}  // namespace

void column_scores_avx512(Term term, const float* row, const float* columns, int64_t dim, int64_t n,
                          float* scores) {
  (term == Term::product ? column_scores_of<Term::product>
                         : column_scores_of<Term::squared_difference>)(row, columns, dim, n, scores);
}

int64_t nearest_column_avx512(const float* row, const float* columns, int64_t dim, int64_t n) {
  constexpr Term kTerm = Term::squared_difference;
  Nearest nearest[kColumns];
  __m512 sums[kColumns];
  int64_t c = 0;
  for (; c + 16 * kColumns <= n; c += 16 * kColumns) {
    column_sums<kTerm, kColumns>(row, columns + c, dim, n, sums);
    for (int j = 0; j < kColumns; ++j) nearest[j].take(sums[j], c + 16 * j);
  }
  for (; c < n; c += 16) {
    column_sums<kTerm, 1>(row, columns + c, dim, n, sums);
    nearest[0].take(sums[0], c);
  }
  __m512 least = nearest[0].smallest;
  for (int j = 1; j < kColumns; ++j) least = _mm512_min_ps(least, nearest[j].smallest);
  least = _mm512_set1_ps(_mm512_reduce_min_ps(least));
  __m512i first = _mm512_set1_epi32(0x7fffffff);
  for (int j = 0; j < kColumns; ++j)
    first = _mm512_mask_min_epi32(first, _mm512_cmp_ps_mask(nearest[j].smallest, least, _CMP_EQ_OQ), first,
                                  nearest[j].columns);
  return _mm512_reduce_min_epi32(first);
}

Extent extent_avx512(const float* values, int64_t n) {
  __m512 smallest = _mm512_loadu_ps(values), largest = smallest, zero = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; i += 16) {
    const __m512 value = _mm512_loadu_ps(values + i);
    smallest = _mm512_min_ps(smallest, value);
    largest = _mm512_max_ps(largest, value);
    zero = _mm512_fmadd_ps(value, _mm512_setzero_ps(),
                           zero);  // NaN from the first NaN or infinity on
  }
  return {_mm512_reduce_min_ps(smallest), _mm512_reduce_max_ps(largest),
          _mm512_cmp_ps_mask(zero, zero, _CMP_UNORD_Q) == 0};
}

void quantise_avx512(const float* values, int64_t n, float origin, float scale, uint8_t* levels) {
  for (int64_t i = 0; i < n; i += 16) {
    const __m512 above = _mm512_sub_ps(_mm512_loadu_ps(values + i), _mm512_set1_ps(origin));
    const __m512i level = _mm512_cvttps_epi32(_mm512_mul_ps(above, _mm512_set1_ps(scale)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(levels + i), _mm512_cvtusepi32_epi8(level));
  }
}

namespace {

// transpose_tile of four tiles at once, in the 128-bit lanes: 64 rows. Register r of lane i is at rows +
// i * lane_stride + r * stride.
template <int kWidth>
void transpose_64_rows(const uint8_t* rows, int64_t lane_stride, int64_t stride, uint8_t* block) {
  __m512i tile[kWidth], other[kWidth];
  for (int r = 0; r < kWidth; ++r) {
    const auto lane = [&](int i) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + i * lane_stride + r * stride));
    };
    tile[r] = _mm512_castsi128_si512(lane(0));
    tile[r] = _mm512_inserti32x4(tile[r], lane(1), 1);
    tile[r] = _mm512_inserti32x4(tile[r], lane(2), 2);
    tile[r] = _mm512_inserti32x4(tile[r], lane(3), 3);
  }
  for (int round = 0; round < 4; ++round) {
    for (int r = 0; r < kWidth / 2; ++r) {
      other[2 * r] = _mm512_unpacklo_epi8(tile[r], tile[r + kWidth / 2]);
      other[2 * r + 1] = _mm512_unpackhi_epi8(tile[r], tile[r + kWidth / 2]);
    }
    for (int r = 0; r < kWidth; ++r) tile[r] = other[r];
  }
  for (int c = 0; c < kWidth; ++c) _mm512_storeu_si512(block + c * kBlockRows, tile[c]);
}

}  // namespace

void transpose_avx512(const uint8_t* rows, int64_t num_rows, int64_t width, uint8_t* block) {
  for (; num_rows >= 64 && (width == 8 || width % 16 == 0); num_rows -= 64, rows += 64 * width, block += 64) {
    if (width == 8) transpose_64_rows<8>(rows, 16 * width, 16, block);
    for (int64_t column = 0; column + 16 <= width; column += 16)
      transpose_64_rows<16>(rows + column, 16 * width, width, block + column * kBlockRows);
  }
  if (num_rows > 0) transpose_bytes(rows, num_rows, width, block);
}

namespace {

// Of so many times 64 rows.
template <int vectors>
void sum_nibbles_of(const uint8_t* levels, const uint8_t* block, int64_t num_codes, uint16_t* target) {
  const __m512i lower_half = _mm512_set1_epi8(15);
  Sums sums[vectors];
  for (int64_t m = 0; m < num_codes; m += 2) {
    const auto table = [&](int64_t code) {
      return _mm512_broadcast_i32x4(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels + code * kNibbleLevels)));
    };
    const __m512i lower = table(m), upper = m + 1 < num_codes ? table(m + 1) : _mm512_setzero_si512();
    for (int v = 0; v < vectors; ++v) {
      const __m512i codes = _mm512_loadu_si512(block + m / 2 * kBlockRows + 64 * v);
      sums[v].add(_mm512_shuffle_epi8(lower, _mm512_and_si512(codes, lower_half)));
      sums[v].add(_mm512_shuffle_epi8(upper, _mm512_and_si512(_mm512_srli_epi16(codes, 4), lower_half)));
    }
  }
  for (int v = 0; v < vectors; ++v) sums[v].store(target + 64 * v);
}

}  // namespace

void sum_nibbles_avx512(const uint8_t* levels, const uint8_t* block, int64_t num_codes, int64_t num_rows,
                        uint16_t* sums) {
  if (num_rows <= 64) return sum_nibbles_of<1>(levels, block, num_codes, sums);
  if (num_rows <= 128) return sum_nibbles_of<2>(levels, block, num_codes, sums);
  if (num_rows <= 192) return sum_nibbles_of<3>(levels, block, num_codes, sums);
  sum_nibbles_of<4>(levels, block, num_codes, sums);
}

void score_nibbles_avx512(const float* tables, int64_t table_stride, const uint8_t* block, int64_t num_codes,
                          int64_t num_rows, float* sums) {
  for (int64_t i = 0; i < num_rows; i += 16) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t m = 0; m < num_codes; m += 2) {
      // A permutation looks at the lowest four bits alone.
      const __m512i codes = _mm512_cvtepu8_epi32(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + m / 2 * kBlockRows + i)));
      const float* table = tables + m * table_stride;
      sum = _mm512_add_ps(sum, _mm512_permutexvar_ps(codes, _mm512_loadu_ps(table)));
      if (m + 1 < num_codes)
        sum = _mm512_add_ps(
            sum, _mm512_permutexvar_ps(_mm512_srli_epi32(codes, 4), _mm512_loadu_ps(table + table_stride)));
    }
    _mm512_storeu_ps(sums + i, sum);
  }
}

void at_most_avx512(const uint16_t* sums, uint16_t limit, uint64_t* masks) {
  const __m512i limits = _mm512_set1_epi16(short(limit));
  for (int i = 0; i < kBlockRows; i += 64) {
    const __mmask32 low = _mm512_cmple_epu16_mask(_mm512_loadu_si512(sums + i), limits);
    const __mmask32 high = _mm512_cmple_epu16_mask(_mm512_loadu_si512(sums + i + 32), limits);
    masks[i / 64] = uint64_t(high) << 32 | low;
  }
}

void reaching_avx512(const uint16_t* sums, const float* offsets, float step, float limit, uint64_t* masks) {
  const __m512 steps = _mm512_set1_ps(step), limits = _mm512_set1_ps(limit);
  for (int i = 0; i < kBlockRows; i += 64) {
    uint64_t mask = 0;
    for (int j = 0; j < 64; j += 16) {
      const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + i + j));
      const __m512 lower = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(words)), steps,
                                           _mm512_loadu_ps(offsets + i + j));
      mask |= uint64_t(_mm512_cmp_ps_mask(lower, limits, _CMP_LE_OQ)) << j;
    }
    masks[i / 64] = mask;
  }
}

extern const CodePrimitives kAvx512Codes;
const CodePrimitives kAvx512Codes = {
    column_scores_avx512, nearest_column_avx512, extent_avx512,  quantise_avx512, transpose_avx512, nullptr,
    sum_nibbles_avx512,   score_nibbles_avx512,  at_most_avx512, reaching_avx512};

}  // namespace fastret
