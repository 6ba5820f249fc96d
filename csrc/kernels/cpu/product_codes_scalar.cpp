// The primitives of product codes in portable C++: the definition.
#include "kernels/code_primitives.h"

namespace fastret {
namespace {

void column_scores(Term term, const float* row, const float* columns, int64_t dim, int64_t n, float* scores) {
  for (int64_t c = 0; c < n; ++c) scores[c] = 0;
  for (int64_t d = 0; d < dim; ++d)
    for (int64_t c = 0; c < n; ++c) {
      const float difference = row[d] - columns[d * n + c];
      scores[c] += term == Term::product ? row[d] * columns[d * n + c] : difference * difference;
    }
}

int64_t nearest_column(const float* row, const float* columns, int64_t dim, int64_t n) {
  constexpr int64_t kTogether = 16;
  float smallest = __builtin_inff();
  int64_t nearest = 0;
  for (int64_t c = 0; c < n; c += kTogether) {
    float sums[kTogether] = {};
    for (int64_t d = 0; d < dim; ++d)
      for (int64_t i = 0; i < kTogether; ++i) {
        const float difference = row[d] - columns[d * n + c + i];
        sums[i] += difference * difference;
      }
    for (int64_t i = 0; i < kTogether; ++i)
      if (sums[i] < smallest) {
        smallest = sums[i];
        nearest = c + i;
      }
  }
  return nearest;
}

}  // namespace

extern const CodePrimitives kScalarCodes;
const CodePrimitives kScalarCodes = {column_scores, nearest_column, nullptr, nullptr, nullptr,
                                     nullptr,       nullptr,        nullptr, nullptr, nullptr};

}  // namespace fastret
