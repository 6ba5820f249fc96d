// Float32 views of stored rows, and the canonical scores of one query with them.
#pragma once
#include <vector>

#include "kernels/canonical.h"
#include "kernels/isa.h"

namespace fastret {

// Reads rows as float32: in place where they are stored so, else widened into one of `slots` buffers.
class RowReader {
 public:
  RowReader(const Rows& rows, int64_t slots) : rows_(rows) {
    if (rows.dtype != DType::f32) widened_.resize(size_t(slots * rows.dim));
  }

  const float* read(int64_t row, int64_t slot) {
    const int64_t element = row * rows_.row_stride;
    if (rows_.dtype == DType::f32) return static_cast<const float*>(rows_.data) + element;
    float* target = widened_.data() + slot * rows_.dim;
    primitives().widen(static_cast<const uint16_t*>(rows_.data) + element, rows_.dtype, rows_.dim, target);
    return target;
  }

 private:
  Rows rows_;
  std::vector<float> widened_;
};

// Canonical scores of `query` with num_keys <= kRowsPerCall keys. `next`: as of Primitives::canonical_rows.
inline void score_keys(Metric metric, const float* query, double query_square, const float* const* keys,
                       const float* const* next, int num_keys, int64_t dim, float* scores) {
  const Primitives& isa = primitives();
  const float* rows[kRowsPerCall];
  for (int r = 0; r < kRowsPerCall; ++r) rows[r] = keys[r < num_keys ? r : 0];
  double sums[kRowsPerCall], squares[kRowsPerCall] = {};
  isa.canonical_rows(metric == Metric::l2 ? Term::squared_difference : Term::product, query, rows, next, dim,
                     sums);
  if (metric == Metric::cosine) isa.canonical_squares(rows, nullptr, dim, squares);
  for (int r = 0; r < num_keys; ++r) scores[r] = canonical_score(metric, sums[r], query_square, squares[r]);
}

inline double canonical_square(const float* row, int64_t dim) {
  const float* rows[kRowsPerCall] = {row, row, row, row};
  double squares[kRowsPerCall];
  primitives().canonical_squares(rows, nullptr, dim, squares);
  return squares[0];
}

}  // namespace fastret
