// The primitives of product codes with AVX-512. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/code_primitives.h"

namespace fastret {
namespace {

constexpr int kVectors = 4;  // of columns, so that as many sums are in flight

template <Term term>
void column_scores_of(const float* row, const float* columns, int64_t dim, int64_t n, float* scores) {
  for (int64_t c = 0; c < n; c += 16 * kVectors) {
    const int vectors = n - c >= 16 * kVectors ? kVectors : int((n - c) / 16);
    __m512 sums[kVectors];
    for (int j = 0; j < kVectors; ++j) sums[j] = _mm512_setzero_ps();
    for (int64_t d = 0; d < dim; ++d) {
      const __m512 x = _mm512_set1_ps(row[d]);
      for (int j = 0; j < kVectors; ++j) {
        const __mmask16 there = j < vectors ? 0xffff : 0;
        const __m512 y = _mm512_maskz_loadu_ps(there, columns + d * n + c + 16 * j);
        const __m512 difference = _mm512_sub_ps(x, y);
        sums[j] = _mm512_add_ps(
            sums[j], term == Term::product ? _mm512_mul_ps(x, y) : _mm512_mul_ps(difference, difference));
      }
    }
    for (int j = 0; j < vectors; ++j) _mm512_storeu_ps(scores + c + 16 * j, sums[j]);
  }
}

}  // namespace

void column_scores_avx512(Term term, const float* row, const float* columns, int64_t dim, int64_t n,
                          float* scores) {
  (term == Term::product ? column_scores_of<Term::product>
                         : column_scores_of<Term::squared_difference>)(row, columns, dim, n, scores);
}

int64_t first_smallest_avx512(const float* values, int64_t n) {
  // min(v, m) is m where v is NaN.
  __m512 smallest = _mm512_set1_ps(__builtin_inff());
  for (int64_t i = 0; i < n; i += 16) smallest = _mm512_min_ps(_mm512_loadu_ps(values + i), smallest);
  const __m512 least = _mm512_set1_ps(_mm512_reduce_min_ps(smallest));
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 equal = _mm512_cmp_ps_mask(_mm512_loadu_ps(values + i), least, _CMP_EQ_OQ);
    if (equal) return i + __builtin_ctz(unsigned(equal));
  }
  return 0;
}

extern const CodePrimitives kAvx512Codes;
const CodePrimitives kAvx512Codes = {column_scores_avx512, first_smallest_avx512, nullptr, nullptr, nullptr};

}  // namespace fastret
