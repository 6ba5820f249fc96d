// Metrics beyond inner product and L2 with AVX2. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/extra_metrics.h"
#include "kernels/cpu/extra_scores_pack.h"

namespace fastret {
namespace {

struct Mask {
  __m256d bits;
};

struct Vector {
  static constexpr int kLanes = 4, kTile = 4, kQueries = 1;
  __m256d v;
  explicit Vector(double value) : v(_mm256_set1_pd(value)) {}
  Vector(__m256d values) : v(values) {}
  static Vector load(const double* source) { return _mm256_loadu_pd(source); }
  static void store_widened(double* target, __m256 floats) {
    _mm256_storeu_pd(target, _mm256_cvtps_pd(_mm256_castps256_ps128(floats)));
    _mm256_storeu_pd(target + 4, _mm256_cvtps_pd(_mm256_extractf128_ps(floats, 1)));
  }
  void store_rounded(float* target) const { _mm_storeu_ps(target, _mm256_cvtpd_ps(v)); }
};

Vector operator+(Vector a, Vector b) {
  return _mm256_add_pd(a.v, b.v);
}
Vector operator-(Vector a, Vector b) {
  return _mm256_sub_pd(a.v, b.v);
}
Vector operator*(Vector a, Vector b) {
  return _mm256_mul_pd(a.v, b.v);
}
Vector operator/(Vector a, Vector b) {
  return _mm256_div_pd(a.v, b.v);
}
Vector abs(Vector a) {
  return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v);
}
Vector min(Vector a, Vector b) {
  return _mm256_min_pd(a.v, b.v);
}
Vector max(Vector a, Vector b) {
  return _mm256_max_pd(a.v, b.v);
}
Mask ordered(Vector a, Vector b) {
  return {_mm256_cmp_pd(a.v, b.v, _CMP_ORD_Q)};
}
Mask operator<(Vector a, Vector b) {
  return {_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)};
}
Mask operator<=(Vector a, Vector b) {
  return {_mm256_cmp_pd(a.v, b.v, _CMP_LE_OQ)};
}
Mask operator&(Mask a, Mask b) {
  return {_mm256_and_pd(a.bits, b.bits)};
}
Mask operator|(Mask a, Mask b) {
  return {_mm256_or_pd(a.bits, b.bits)};
}
Vector pick(Mask mask, Vector a, Vector b) {
  return _mm256_blendv_pd(b.v, a.v, mask.bits);
}

}  // namespace

extern const ExtraScoresKernel kExtraScoresAvx2;
const ExtraScoresKernel kExtraScoresAvx2 = {pack_panel<Vector>, score_by<Vector>};

}  // namespace fastret
