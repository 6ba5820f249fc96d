// bfloat16 and IEEE half precision as bits: exact widening, and rounding to nearest even.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/host_device.h"

namespace fastret {

FASTRET_HOST_DEVICE float float_from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

FASTRET_HOST_DEVICE uint32_t bits_of_float(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

FASTRET_HOST_DEVICE float widen_bf16(uint16_t bits) {
  return float_from_bits(uint32_t(bits) << 16);
}

FASTRET_HOST_DEVICE float widen_f16(uint16_t bits) {
  const uint32_t sign = uint32_t(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1f;
  const uint32_t fraction = bits & 0x3ff;
  if (exponent == 0x1f) return float_from_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent) return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = float(fraction) * 0x1p-24f;  // subnormal, exact in float32
  return sign ? -magnitude : magnitude;
}

FASTRET_HOST_DEVICE uint16_t round_to_bf16(float value) {
  const uint32_t bits = bits_of_float(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t(bits >> 16 | 0x40);  // NaN stays NaN
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

FASTRET_HOST_DEVICE uint16_t round_to_f16(float value) {
  const uint32_t bits = bits_of_float(value);
  const uint16_t sign = uint16_t(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // from 65520 on, the nearest half is infinity
  if (magnitude < 0x38800000) {
    // Subnormal halves: adding 0.5 leaves a multiple of 2^-24 in the low bits, rounded to nearest even.
    return sign | uint16_t(bits_of_float(float_from_bits(magnitude) + 0.5f) - 0x3f000000);
  }
  return sign | uint16_t((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

}  // namespace fastret
