// Row sums with AVX2. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/row_sums.h"

namespace fastret {
namespace {

// 16 lanes.
struct Lanes {
  __m256 low, high;
};

Lanes load_lanes(const float* row) {
  return {_mm256_loadu_ps(row), _mm256_loadu_ps(row + 8)};
}

Lanes load_tail(const float* row, int64_t count) {  // absent dimensions are 0 on both sides and add +0
  float padded[kRowLanes] = {};
  for (int64_t j = 0; j < count; ++j) padded[j] = row[j];
  return load_lanes(padded);
}

template <Term term>
__m256 add_term(__m256 sum, __m256 query, __m256 row) {
  if constexpr (term == Term::product) return _mm256_add_ps(sum, _mm256_mul_ps(query, row));
  const __m256 difference = _mm256_sub_ps(query, row);
  return _mm256_add_ps(sum, _mm256_mul_ps(difference, difference));
}

template <Term term>
void add_terms(Lanes& sum, const Lanes& query, const Lanes& row) {
  sum.low = add_term<term>(sum.low, query.low, row.low);
  sum.high = add_term<term>(sum.high, query.high, row.high);
}

__m128 fold_to_4(const Lanes& lanes) {  // halves 8 and 4
  const __m256 eight = _mm256_add_ps(lanes.low, lanes.high);
  return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
}

template <Term term, int num_rows>
void sums_of(const float* query, const float* const* rows, const float* const* next, int64_t dim,
             float* sums) {
  Lanes lanes[kRowsInFlight];
#pragma GCC unroll 4
  for (int r = 0; r < kRowsInFlight; ++r) lanes[r].low = lanes[r].high = _mm256_setzero_ps();
  int64_t d = 0;
  for (; d + kRowLanes <= dim; d += kRowLanes) {
    const Lanes q = load_lanes(query + d);
#pragma GCC unroll 4
    for (int r = 0; r < num_rows; ++r) {
      if (next) _mm_prefetch(reinterpret_cast<const char*>(next[r] + d), _MM_HINT_T0);
      add_terms<term>(lanes[r], q, load_lanes(rows[r] + d));
    }
  }
  if (d < dim) {
    const Lanes q = load_tail(query + d, dim - d);
    for (int r = 0; r < num_rows; ++r) add_terms<term>(lanes[r], q, load_tail(rows[r] + d, dim - d));
  }
  const __m128 a = fold_to_4(lanes[0]), b = fold_to_4(lanes[1]);
  const __m128 c = fold_to_4(lanes[2]), e = fold_to_4(lanes[3]);
  const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));  // half 2, rows side by side
  const __m128 ce = _mm_add_ps(_mm_unpacklo_ps(c, e), _mm_unpackhi_ps(c, e));
  const __m128 folded = _mm_add_ps(_mm_movelh_ps(ab, ce), _mm_movehl_ps(ce, ab));
  float four[kRowsInFlight];
  _mm_storeu_ps(four, folded);
  for (int r = 0; r < num_rows; ++r) sums[r] = four[r];
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

void row_sums_avx2(Term term, const float* query, const float* const* rows, int64_t count, int64_t dim,
                   float* sums) {
  if (term == Term::product)
    sums_of_all<Term::product>(query, rows, count, dim, sums);
  else
    sums_of_all<Term::squared_difference>(query, rows, count, dim, sums);
}

}  // namespace fastret
