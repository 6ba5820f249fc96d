// Row sums with AVX-512. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/row_sums.h"

namespace fastret {
namespace {

template <Term term>
__m512 add_term(__m512 sum, __m512 query, __m512 row) {
  if constexpr (term == Term::product) return _mm512_add_ps(sum, _mm512_mul_ps(query, row));
  const __m512 difference = _mm512_sub_ps(query, row);
  return _mm512_add_ps(sum, _mm512_mul_ps(difference, difference));
}

__m128 fold_to_4(__m512 lanes) {  // halves 8 and 4
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
  return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
}

template <Term term, int num_rows>
void sums_of(const float* query, const float* const* rows, const float* const* next, int64_t dim,
             float* sums) {
  __m512 lanes[kRowsInFlight];
#pragma GCC unroll 4
  for (int r = 0; r < kRowsInFlight; ++r) lanes[r] = _mm512_setzero_ps();
  int64_t d = 0;
  for (; d + kRowLanes <= dim; d += kRowLanes) {
    const __m512 q = _mm512_loadu_ps(query + d);
#pragma GCC unroll 4
    for (int r = 0; r < num_rows; ++r) {
      if (next) _mm_prefetch(reinterpret_cast<const char*>(next[r] + d), _MM_HINT_T0);
      lanes[r] = add_term<term>(lanes[r], q, _mm512_loadu_ps(rows[r] + d));
    }
  }
  if (d < dim) {  // absent dimensions are 0 on both sides and add +0
    const __mmask16 mask = __mmask16((1u << (dim - d)) - 1);
    const __m512 q = _mm512_maskz_loadu_ps(mask, query + d);
#pragma GCC unroll 4
    for (int r = 0; r < num_rows; ++r)
      lanes[r] = add_term<term>(lanes[r], q, _mm512_maskz_loadu_ps(mask, rows[r] + d));
  }
  const __m128 a = fold_to_4(lanes[0]), b = fold_to_4(lanes[1]);
  const __m128 c = fold_to_4(lanes[2]), e = fold_to_4(lanes[3]);
  const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));  // half 2, rows side by side
  const __m128 ce = _mm_add_ps(_mm_unpacklo_ps(c, e), _mm_unpackhi_ps(c, e));
  const __m128 folded = _mm_add_ps(_mm_movelh_ps(ab, ce), _mm_movehl_ps(ce, ab));
  _mm_mask_storeu_ps(sums, __mmask8((1u << num_rows) - 1), folded);
}

template <Term term>
void sums_of_all(const float* query, const float* const* rows, int64_t count, int64_t dim, float* sums) {
  for (; count >= kRowsInFlight; count -= kRowsInFlight, rows += kRowsInFlight, sums += kRowsInFlight) {
    const float* next[kRowsInFlight];
    for (int64_t r = 0; r < kRowsInFlight; ++r) {
      const int64_t after = r + kRowsInFlight;
      next[r] = rows[after < count ? after : count - 1];
    }
    sums_of<term, 4>(query, rows, next, dim, sums);
  }
  if (count == 3) sums_of<term, 3>(query, rows, nullptr, dim, sums);
  if (count == 2) sums_of<term, 2>(query, rows, nullptr, dim, sums);
  if (count == 1) sums_of<term, 1>(query, rows, nullptr, dim, sums);
}

}  // namespace

void row_sums_avx512(Term term, const float* query, const float* const* rows, int64_t count, int64_t dim,
                     float* sums) {
  if (term == Term::product)
    sums_of_all<Term::product>(query, rows, count, dim, sums);
  else
    sums_of_all<Term::squared_difference>(query, rows, count, dim, sums);
}

}  // namespace fastret
