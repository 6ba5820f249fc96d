// The primitives of product codes with AVX-512. Intrinsics and C headers only: see kernels.cmake.
#include "kernels/cpu/product_codes_avx512.h"

#include "kernels/cpu/byte_transpose.h"

namespace fastret {
namespace {

constexpr int kColumns = 4;  // vectors of them, so that as many sums are in flight

// Of the columns c ... c + 63 that there are, or else of zeros.
template <Term term>
void column_sums(const float* row, const float* columns, int64_t dim, int64_t n, int64_t c, __m512* sums) {
  __mmask16 there[kColumns];
  for (int j = 0; j < kColumns; ++j) {
    there[j] = c + 16 * j < n ? 0xffff : 0;
    sums[j] = _mm512_setzero_ps();
  }
  for (int64_t d = 0; d < dim; ++d) {
    const __m512 x = _mm512_set1_ps(row[d]);
    for (int j = 0; j < kColumns; ++j) {
      const __m512 y = _mm512_maskz_loadu_ps(there[j], columns + d * n + c + 16 * j);
      const __m512 difference = _mm512_sub_ps(x, y);
      sums[j] = _mm512_add_ps(
          sums[j], term == Term::product ? _mm512_mul_ps(x, y) : _mm512_mul_ps(difference, difference));
    }
  }
}

}  // namespace

void column_scores_avx512(Term term, const float* row, const float* columns, int64_t dim, int64_t n,
                          float* scores) {
  const auto sums_of =
      term == Term::product ? column_sums<Term::product> : column_sums<Term::squared_difference>;
  for (int64_t c = 0; c < n; c += 16 * kColumns) {
    __m512 sums[kColumns];
    sums_of(row, columns, dim, n, c, sums);
    for (int j = 0; j < kColumns && c + 16 * j < n; ++j) _mm512_storeu_ps(scores + c + 16 * j, sums[j]);
  }
}

int64_t nearest_column_avx512(const float* row, const float* columns, int64_t dim, int64_t n) {
  __m512 smallest[kColumns];
  __m512i nearest[kColumns];
  for (int j = 0; j < kColumns; ++j) {
    smallest[j] = _mm512_set1_ps(__builtin_inff());
    nearest[j] = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    nearest[j] = _mm512_add_epi32(nearest[j], _mm512_set1_epi32(16 * j));
  }
  __m512i columns_of[kColumns];
  for (int j = 0; j < kColumns; ++j) columns_of[j] = nearest[j];
  for (int64_t c = 0; c < n; c += 16 * kColumns) {
    __m512 sums[kColumns];
    column_sums<Term::squared_difference>(row, columns, dim, n, c, sums);
    for (int j = 0; j < kColumns && c + 16 * j < n; ++j) {
      const __mmask16 less = _mm512_cmp_ps_mask(sums[j], smallest[j], _CMP_LT_OQ);
      smallest[j] = _mm512_mask_mov_ps(smallest[j], less, sums[j]);
      nearest[j] = _mm512_mask_add_epi32(nearest[j], less, columns_of[j], _mm512_set1_epi32(int(c)));
    }
  }
  __m512 least = smallest[0];
  for (int j = 1; j < kColumns; ++j) least = _mm512_min_ps(least, smallest[j]);
  least = _mm512_set1_ps(_mm512_reduce_min_ps(least));
  __m512i first = _mm512_set1_epi32(0x7fffffff);
  for (int j = 0; j < kColumns; ++j)
    first =
        _mm512_mask_min_epi32(first, _mm512_cmp_ps_mask(smallest[j], least, _CMP_EQ_OQ), first, nearest[j]);
  return _mm512_reduce_min_epi32(first);
}

void quantise_avx512(const float* values, int64_t n, float origin, float scale, uint8_t* levels) {
  for (int64_t i = 0; i < n; i += 16) {
    const __m512 above = _mm512_sub_ps(_mm512_loadu_ps(values + i), _mm512_set1_ps(origin));
    const __m512i level = _mm512_cvttps_epi32(_mm512_mul_ps(above, _mm512_set1_ps(scale)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(levels + i), _mm512_cvtusepi32_epi8(level));
  }
}

void transpose_avx512(const uint8_t* rows, int64_t num_rows, int64_t width, uint8_t* block) {
  transpose_bytes(rows, num_rows, width, block);
}

void reaching_nibbles_avx512(const uint8_t* levels, const uint8_t* block, int64_t num_codes,
                             const float* offsets, float step, float limit, uint64_t* masks) {
  const __m512i lower_half = _mm512_set1_epi8(15);
  Sums sums[kSumVectors];
  for (int64_t m = 0; m < num_codes; m += 2) {
    const auto table = [&](int64_t code) {
      return _mm512_broadcast_i32x4(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels + code * kNibbleLevels)));
    };
    const __m512i lower = table(m), upper = m + 1 < num_codes ? table(m + 1) : _mm512_setzero_si512();
    for (int v = 0; v < kSumVectors; ++v) {
      const __m512i codes = _mm512_loadu_si512(block + m / 2 * kBlockRows + 64 * v);
      sums[v].add(_mm512_shuffle_epi8(lower, _mm512_and_si512(codes, lower_half)));
      sums[v].add(_mm512_shuffle_epi8(upper, _mm512_and_si512(_mm512_srli_epi16(codes, 4), lower_half)));
    }
  }
  reaching_of(sums, offsets, step, limit, masks);
}

extern const CodePrimitives kAvx512Codes;
const CodePrimitives kAvx512Codes = {
    column_scores_avx512,   nearest_column_avx512, quantise_avx512, transpose_avx512, nullptr,
    reaching_nibbles_avx512};

}  // namespace fastret
