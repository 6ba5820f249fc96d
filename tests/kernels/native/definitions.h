// What the kernels compute, written without regard to speed.
#pragma once
#include <algorithm>
#include <numeric>

#include "kernels/isa.h"
#include "vectors.h"

namespace fastret::test {

inline double canonical_sum(Term term, const float* a, const float* b, int64_t dim) {
  double lanes[16] = {};
  for (int64_t d = 0; d < dim; ++d) {
    const double x = a[d], y = b[d];
    const double value = term == Term::product ? x * y : (x - y) * (x - y);
    lanes[d % 16] += value;
  }
  for (int width : {8, 4, 2, 1})
    for (int j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  return lanes[0];
}

inline float canonical_score(Metric metric, const float* q, const float* x, int64_t dim) {
  if (metric == Metric::l2) return float(canonical_sum(Term::squared_difference, q, x, dim));
  const double product = canonical_sum(Term::product, q, x, dim);
  if (metric == Metric::inner_product) return float(product) + 0.0f;
  const double qq = canonical_sum(Term::product, q, q, dim), xx = canonical_sum(Term::product, x, x, dim);
  if (std::isnan(qq) || std::isnan(xx)) return kNan;
  return qq == 0 || xx == 0 ? 0.0f : float(product / (std::sqrt(qq) * std::sqrt(xx))) + 0.0f;
}

// The ids of the k best, -1 where there are fewer: larger first (smaller where not `largest`), ties by id.
inline std::vector<int64_t> select_k(const std::vector<float>& values, int64_t k, bool largest) {
  std::vector<int64_t> ids;
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isnan(values[i])) ids.push_back(int64_t(i));
  std::stable_sort(ids.begin(), ids.end(), [&](int64_t a, int64_t b) {
    return largest ? values[size_t(a)] > values[size_t(b)] : values[size_t(a)] < values[size_t(b)];
  });
  ids.resize(size_t(k), -1);
  return ids;
}

}  // namespace fastret::test
