// The primitives of product codes with AVX2. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/code_primitives.h"

namespace fastret {
namespace {

template <Term term>
void column_scores_of(const float* row, const float* columns, int64_t dim, int64_t n, float* scores) {
  for (int64_t c = 0; c < n; c += 16) {
    __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t d = 0; d < dim; ++d)
      for (int j = 0; j < 2; ++j) {
        const __m256 x = _mm256_set1_ps(row[d]), y = _mm256_loadu_ps(columns + d * n + c + 8 * j);
        const __m256 difference = _mm256_sub_ps(x, y);
        sums[j] = _mm256_add_ps(
            sums[j], term == Term::product ? _mm256_mul_ps(x, y) : _mm256_mul_ps(difference, difference));
      }
    _mm256_storeu_ps(scores + c, sums[0]);
    _mm256_storeu_ps(scores + c + 8, sums[1]);
  }
}

void column_scores(Term term, const float* row, const float* columns, int64_t dim, int64_t n, float* scores) {
  (term == Term::product ? column_scores_of<Term::product>
                         : column_scores_of<Term::squared_difference>)(row, columns, dim, n, scores);
}

int64_t first_smallest(const float* values, int64_t n) {
  // min(v, m) is m where v is NaN.
  __m256 smallest = _mm256_set1_ps(__builtin_inff());
  for (int64_t i = 0; i < n; i += 8) smallest = _mm256_min_ps(_mm256_loadu_ps(values + i), smallest);
  smallest = _mm256_min_ps(smallest, _mm256_permute2f128_ps(smallest, smallest, 1));
  smallest = _mm256_min_ps(smallest, _mm256_permute_ps(smallest, 0x4e));
  smallest = _mm256_min_ps(smallest, _mm256_permute_ps(smallest, 0xb1));
  for (int64_t i = 0; i < n; i += 8) {
    const int equal = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values + i), smallest, _CMP_EQ_OQ));
    if (equal) return i + __builtin_ctz(unsigned(equal));
  }
  return 0;
}

}  // namespace

extern const CodePrimitives kAvx2Codes;
const CodePrimitives kAvx2Codes = {column_scores, first_smallest, nullptr, nullptr, nullptr};

}  // namespace fastret
