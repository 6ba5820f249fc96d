// The primitives in plain C++: the definition that the other instruction sets agree with.
#include "kernels/canonical.h"
#include "kernels/cpu/plain_loops.h"
#include "kernels/half.h"
#include "kernels/isa.h"

namespace fastret {
namespace {

constexpr int kTileQueries = 4;
constexpr int kInt8QueryLevels = 127;

void widen(const void* source, DType dtype, int64_t n, float* target) {
  switch (dtype) {
    case DType::f32:
      std::memcpy(target, source, size_t(n) * sizeof(float));
      break;
    case DType::bf16:
      for (int64_t i = 0; i < n; ++i) target[i] = widen_bf16(static_cast<const uint16_t*>(source)[i]);
      break;
    case DType::f16:
      for (int64_t i = 0; i < n; ++i) target[i] = widen_f16(static_cast<const uint16_t*>(source)[i]);
      break;
  }
}

template <Term term>
double canonical_sum(const float* a, const float* b, int64_t dim) {
  double lanes[kCanonicalLanes] = {};
  for (int64_t first = 0; first < dim; first += kCanonicalLanes) {
    const int width = int(dim - first < kCanonicalLanes ? dim - first : kCanonicalLanes);
    for (int j = 0; j < width; ++j) {
      const double x = a[first + j], y = b[first + j];
      lanes[j] += term == Term::product ? x * y : (x - y) * (x - y);
    }
  }
  return fold_lanes(lanes);
}

void canonical_rows(Term term, const float* query, const float* const* keys, const float* const*, int64_t dim,
                    double* sums) {
  for (int r = 0; r < kRowsPerCall; ++r)
    sums[r] = term == Term::product ? canonical_sum<Term::product>(query, keys[r], dim)
                                    : canonical_sum<Term::squared_difference>(query, keys[r], dim);
}

void canonical_squares(const float* const* rows, const float* const*, int64_t dim, double* sums) {
  for (int r = 0; r < kRowsPerCall; ++r) sums[r] = canonical_sum<Term::product>(rows[r], rows[r], dim);
}

void dot_tile(FirstPass pass, const void* queries, int num_queries, const int32_t* start, const void* panel,
              int64_t steps, void* dots) {
  if (pass == FirstPass::float32)
    float_dot_tile(static_cast<const float*>(queries), num_queries, static_cast<const float*>(panel), steps,
                   static_cast<float*>(dots));
  else
    integer_dot_tile(pass, static_cast<const int32_t*>(queries), num_queries, start,
                     static_cast<const int32_t*>(panel), steps, static_cast<int32_t*>(dots));
}

}  // namespace

extern const Primitives kScalar;
const Primitives kScalar = {"scalar",
                            {kTileQueries, kTileQueries, kTileQueries},
                            kInt8QueryLevels,
                            1,
                            widen,
                            canonical_rows,
                            canonical_squares,
                            centre_row,
                            rotate,
                            largest,
                            quantise,
                            pack_panel,
                            dot_tile,
                            filter_tile};

}  // namespace fastret
