// What a row is multiplied by to become a unit vector, the same on every device.
#pragma once
#include <cmath>

#include "kernels/half.h"

namespace fastret {

FASTRET_HOST_DEVICE double inverse_norm(double square) {
  return square == 0 ? 0 : 1 / sqrt(square);
}

// An inverse norm as the product of two float32: alone it may overflow or vanish as one.
struct UnitScale {
  float power;  // of two, near the square root: the product with it is exact
  float rest;

  FASTRET_HOST_DEVICE float operator()(float value) const { return value * power * rest; }
};

FASTRET_HOST_DEVICE UnitScale unit_scale(double inverse_norm) {
  const float power = float_from_bits(bits_of_float(float(sqrt(inverse_norm))) & 0x7f800000);
  return {power, inverse_norm == 0 ? 0.0f : float(inverse_norm / power)};
}

}  // namespace fastret
