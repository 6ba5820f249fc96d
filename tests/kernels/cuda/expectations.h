// What a kernel's results are compared with, and how.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <string>

#include "kernels/canonical.h"
#include "kernels/half.h"

namespace fastret {

inline int failures = 0;

inline void expect(bool ok, const std::string& what) {
  if (ok) return;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
  if (++failures == 20) std::exit(1);  // enough to see what is wrong
}

inline double canonical_sum(Metric metric, const float* query, const float* key, int64_t dim) {
  double lanes[16] = {};
  for (int64_t d = 0; d < dim; ++d) {
    const double q = query[d], x = key[d];
    lanes[d % 16] += metric == Metric::l2 ? (q - x) * (q - x) : q * x;
  }
  return fold_lanes(lanes);
}

inline float score_of(Metric metric, const float* query, const float* key, int64_t dim) {
  return canonical_score(metric, canonical_sum(metric, query, key, dim),
                         canonical_sum(Metric::inner_product, query, query, dim),
                         canonical_sum(Metric::inner_product, key, key, dim));
}

inline bool same_bits(float a, float b) {
  return bits_of_float(a) == bits_of_float(b) || (a != a && b != b);
}

}  // namespace fastret
