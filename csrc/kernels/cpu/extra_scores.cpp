#include "kernels/cpu/extra_scores.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cpu/extra_metrics.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/isa.h"

namespace fastret {

#if defined(__x86_64__)
extern const ExtraScoresKernel kExtraScoresAvx2, kExtraScoresAvx512;
#endif

namespace {

struct Vector {
  static constexpr int kLanes = 1, kTile = 4, kQueries = 1;
  double v;
  explicit Vector(double value) : v(value) {}
  static Vector load(const double* source) { return Vector(*source); }
  void store_rounded(float* target) const { *target = float(v); }
};

Vector operator+(Vector a, Vector b) {
  return Vector(a.v + b.v);
}
Vector operator-(Vector a, Vector b) {
  return Vector(a.v - b.v);
}
Vector operator*(Vector a, Vector b) {
  return Vector(a.v * b.v);
}
Vector operator/(Vector a, Vector b) {
  return Vector(a.v / b.v);
}
Vector abs(Vector a) {
  return Vector(std::fabs(a.v));
}
// As on x86: b where either is NaN.
Vector min(Vector a, Vector b) {
  return a.v < b.v ? a : b;
}
Vector max(Vector a, Vector b) {
  return a.v > b.v ? a : b;
}
bool ordered(Vector a, Vector b) {
  return !std::isunordered(a.v, b.v);
}
bool operator<(Vector a, Vector b) {
  return a.v < b.v;
}
bool operator<=(Vector a, Vector b) {
  return a.v <= b.v;
}
Vector pick(bool mask, Vector a, Vector b) {
  return mask ? a : b;
}

void pack_panel(const float* keys, int64_t row_stride, int64_t count, int64_t dim, double* panel) {
  for (int64_t i = 0; i < kPanelKeys; ++i)
    for (int64_t d = 0; d < dim; ++d)
      panel[d * kPanelKeys + i] = keys[std::min(i, count - 1) * row_stride + d];
}

const ExtraScoresKernel& kernel_in_use() {
#if defined(__x86_64__)
  const char* name = primitives().name;
  if (std::strncmp(name, "avx512", 6) == 0) return kExtraScoresAvx512;
  if (std::strncmp(name, "avx2", 4) == 0) return kExtraScoresAvx2;
#endif
  static constexpr ExtraScoresKernel kScalar = {pack_panel, score_by<Vector>};
  return kScalar;
}

// Queries that share the packing of a panel.
constexpr int64_t kQueriesAtOnce = 512;

const float* row(const Rows& rows, int64_t r) {
  return static_cast<const float*>(rows.data) + r * rows.row_stride;
}

}  // namespace

namespace cpu {

void extra_scores(const ExtraScoresParams& p, const Parallel& parallel) {
  const ExtraScoresKernel& kernel = kernel_in_use();
  const int64_t dim = p.keys.dim, panels = num_panels(p.keys.rows);
  const int64_t blocks = (p.queries.rows + kQueriesAtOnce - 1) / kQueriesAtOnce;
  parallel(blocks * panels, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    std::vector<double> queries, panel(size_t(dim * kPanelKeys));
    std::vector<float> scores;
    for (int64_t task = begin, held = -1; task < end; ++task) {
      const int64_t block = task / panels, first = block * kQueriesAtOnce;
      const int64_t n = std::min(kQueriesAtOnce, p.queries.rows - first);
      if (block != held) {
        queries.resize(size_t(n * dim));
        scores.resize(size_t(n * kPanelKeys));
        for (int64_t q = 0; q < n; ++q) std::copy_n(row(p.queries, first + q), dim, queries.data() + q * dim);
        held = block;
      }
      const int64_t key = task % panels * kPanelKeys;
      const int64_t count = std::min<int64_t>(kPanelKeys, p.keys.rows - key);
      kernel.pack(row(p.keys, key), p.keys.row_stride, p.keys.rows - key, dim, panel.data());
      kernel.score(p.metric, queries.data(), n, panel.data(), dim, scores.data());
      for (int64_t q = 0; q < n; ++q)
        std::copy_n(scores.data() + q * kPanelKeys, count, p.scores + (first + q) * p.keys.rows + key);
    }
  });
}

}  // namespace cpu
}  // namespace fastret
