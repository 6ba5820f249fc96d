// The primitives in plain C++: the definition that the other instruction sets agree with.
#include "kernels/canonical.h"
#include "kernels/cpu/plain_loops.h"
#include "kernels/half.h"
#include "kernels/isa.h"

namespace fastret {
namespace {

constexpr int kTileQueries = 4;
constexpr int kTileKeys = 8;

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

void canonical_rows(Term term, const float* query, const float* const* keys, int64_t dim, double* sums) {
  for (int r = 0; r < kRowsPerCall; ++r)
    sums[r] = term == Term::product ? canonical_sum<Term::product>(query, keys[r], dim)
                                    : canonical_sum<Term::squared_difference>(query, keys[r], dim);
}

void canonical_squares(const float* const* rows, int64_t dim, double* sums) {
  for (int r = 0; r < kRowsPerCall; ++r) sums[r] = canonical_sum<Term::product>(rows[r], rows[r], dim);
}

void dot_tile(const float* queries, int num_queries, const float* panel, int64_t dim, float* dots) {
  for (int r = 0; r < num_queries; ++r) {
    float sums[kTileKeys] = {};
    for (int64_t d = 0; d < dim; ++d)
      for (int i = 0; i < kTileKeys; ++i) sums[i] += queries[d * num_queries + r] * panel[d * kTileKeys + i];
    std::memcpy(dots + r * kTileKeys, sums, sizeof sums);
  }
}

}  // namespace

extern const Primitives kScalar;
const Primitives kScalar = {"scalar",       kTileQueries,      kTileKeys,  widen,
                            canonical_rows, canonical_squares, centre_row, pack_panel<kTileKeys>,
                            dot_tile,       filter<kTileKeys>};

}  // namespace fastret
