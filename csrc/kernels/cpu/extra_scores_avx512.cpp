// Metrics beyond inner product and L2 with AVX-512. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/extra_metrics.h"
#include "kernels/cpu/extra_scores_pack.h"

namespace fastret {
namespace {

struct Mask {
  __mmask8 bits;
};

struct Vector {
  static constexpr int kLanes = 8, kTile = 4, kQueries = 2;
  __m512d v;
  explicit Vector(double value) : v(_mm512_set1_pd(value)) {}
  Vector(__m512d values) : v(values) {}
  static Vector load(const double* source) { return _mm512_loadu_pd(source); }
  static void store_widened(double* target, __m256 floats) {
    _mm512_storeu_pd(target, _mm512_cvtps_pd(floats));
  }
  void store_rounded(float* target) const { _mm256_storeu_ps(target, _mm512_cvtpd_ps(v)); }
};

Vector operator+(Vector a, Vector b) {
  return _mm512_add_pd(a.v, b.v);
}
Vector operator-(Vector a, Vector b) {
  return _mm512_sub_pd(a.v, b.v);
}
Vector operator*(Vector a, Vector b) {
  return _mm512_mul_pd(a.v, b.v);
}
Vector operator/(Vector a, Vector b) {
  return _mm512_div_pd(a.v, b.v);
}
Vector abs(Vector a) {
  return _mm512_abs_pd(a.v);
}
Vector min(Vector a, Vector b) {
  return _mm512_min_pd(a.v, b.v);
}
Vector max(Vector a, Vector b) {
  return _mm512_max_pd(a.v, b.v);
}
Mask ordered(Vector a, Vector b) {
  return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_ORD_Q)};
}
Mask operator<(Vector a, Vector b) {
  return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ)};
}
Mask operator<=(Vector a, Vector b) {
  return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LE_OQ)};
}
Mask operator&(Mask a, Mask b) {
  return {__mmask8(a.bits & b.bits)};
}
Mask operator|(Mask a, Mask b) {
  return {__mmask8(a.bits | b.bits)};
}
Vector pick(Mask mask, Vector a, Vector b) {
  return _mm512_mask_blend_pd(mask.bits, b.v, a.v);
}

}  // namespace

extern const ExtraScoresKernel kExtraScoresAvx512;
const ExtraScoresKernel kExtraScoresAvx512 = {pack_panel<Vector>, score_by<Vector>};

}  // namespace fastret
