// Contrastive losses with AVX2. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/contrastive_rows.h"

namespace fastret {
namespace {

struct Mask {
  __m256 low, high;
};

struct Vector {
  using Element = float;
  __m256 low, high;
  explicit Vector(float value) : low(_mm256_set1_ps(value)), high(low) {}
  Vector(__m256 l, __m256 h) : low(l), high(h) {}
  static Vector load(const float* source) { return {_mm256_loadu_ps(source), _mm256_loadu_ps(source + 8)}; }
  void store(float* target) const {
    _mm256_storeu_ps(target, low);
    _mm256_storeu_ps(target + 8, high);
  }
};

Vector operator+(Vector a, Vector b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
Vector operator-(Vector a, Vector b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
Vector operator*(Vector a, Vector b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
Vector operator/(Vector a, Vector b) {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
Mask operator<(Vector a, Vector b) {
  return {_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
}
Mask operator==(Vector a, Vector b) {
  return {_mm256_cmp_ps(a.low, b.low, _CMP_EQ_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_EQ_OQ)};
}
Vector pick(Mask mask, Vector a, Vector b) {
  return {_mm256_blendv_ps(b.low, a.low, mask.low), _mm256_blendv_ps(b.high, a.high, mask.high)};
}
__m256 power_of_two(__m256 shifted) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(0x3f800000)));
}
Vector power_of_two(Vector shifted) {
  return {power_of_two(shifted.low), power_of_two(shifted.high)};
}
Vector exp_of(Vector x) {
  return exp_of_float(x);
}
Vector log_of_one_plus(Vector u) {
  return log_of_one_plus_float(u);
}

}  // namespace

extern const ContrastiveKernel<float> kContrastiveAvx2;
const ContrastiveKernel<float> kContrastiveAvx2 = ContrastiveRows<Vector>::kKernel;

}  // namespace fastret
