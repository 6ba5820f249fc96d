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

int64_t first_smallest(const float* values, int64_t n) {
  int64_t best = 0;
  float smallest = values[0];
  for (int64_t i = 1; i < n; ++i)
    // A NaN in front gives way to anything that compares.
    if (values[i] < smallest || (smallest != smallest && values[i] == values[i])) smallest = values[best = i];
  return best;
}

}  // namespace

extern const CodePrimitives kScalarCodes;
const CodePrimitives kScalarCodes = {column_scores, first_smallest, nullptr, nullptr, nullptr};

}  // namespace fastret
