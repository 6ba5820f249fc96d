// Contrastive losses with AVX-512. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/contrastive_rows.h"

namespace fastret {
namespace {

struct Vector {
  using Element = float;
  __m512 v;
  explicit Vector(float value) : v(_mm512_set1_ps(value)) {}
  Vector(__m512 values) : v(values) {}
  static Vector load(const float* source) { return _mm512_loadu_ps(source); }
  void store(float* target) const { _mm512_storeu_ps(target, v); }
};

Vector operator+(Vector a, Vector b) {
  return _mm512_add_ps(a.v, b.v);
}
Vector operator-(Vector a, Vector b) {
  return _mm512_sub_ps(a.v, b.v);
}
Vector operator*(Vector a, Vector b) {
  return _mm512_mul_ps(a.v, b.v);
}
Vector operator/(Vector a, Vector b) {
  return _mm512_div_ps(a.v, b.v);
}
__mmask16 operator<(Vector a, Vector b) {
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ);
}
__mmask16 operator==(Vector a, Vector b) {
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ);
}
Vector pick(__mmask16 mask, Vector a, Vector b) {
  return _mm512_mask_blend_ps(mask, b.v, a.v);
}
Vector power_of_two(Vector shifted) {
  const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3f800000)));
}
Vector exp_of(Vector x) {
  return exp_of_float(x);
}
Vector log_of_one_plus(Vector u) {
  return log_of_one_plus_float(u);
}

}  // namespace

extern const ContrastiveKernel<float> kContrastiveAvx512;
const ContrastiveKernel<float> kContrastiveAvx512 = ContrastiveRows<Vector>::kKernel;

}  // namespace fastret
