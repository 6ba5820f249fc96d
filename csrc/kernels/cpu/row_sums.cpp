#include "kernels/cpu/row_sums.h"

#include <algorithm>
#include <cstring>

namespace fastret {

#if defined(__x86_64__)
void row_sums_avx2(Term, const float*, const float* const*, int64_t, int64_t, float*);
void row_sums_avx512(Term, const float*, const float* const*, int64_t, int64_t, float*);
#endif

namespace {

template <Term term>
float row_sum(const float* query, const float* row, int64_t dim) {
  float lanes[kRowLanes] = {};
  for (int64_t first = 0; first < dim; first += kRowLanes) {
    const int width = int(std::min<int64_t>(dim - first, kRowLanes));
    for (int j = 0; j < width; ++j) {
      const float x = query[first + j], y = row[first + j];
      lanes[j] += term == Term::product ? x * y : (x - y) * (x - y);
    }
  }
  for (int half = kRowLanes / 2; half; half /= 2)
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  return lanes[0];
}

void row_sums_scalar(Term term, const float* query, const float* const* rows, int64_t count, int64_t dim,
                     float* sums) {
  for (int64_t i = 0; i < count; ++i)
    sums[i] = term == Term::product ? row_sum<Term::product>(query, rows[i], dim)
                                    : row_sum<Term::squared_difference>(query, rows[i], dim);
}

}  // namespace

RowSums row_sums() {
#if defined(__x86_64__)
  const char* name = primitives().name;
  if (std::strncmp(name, "avx512", 6) == 0) return row_sums_avx512;
  if (std::strncmp(name, "avx2", 4) == 0) return row_sums_avx2;
#endif
  return row_sums_scalar;
}

}  // namespace fastret
