// Rows as planes: what the first pass reads, and what makes it exact again.
//   high  bfloat16, each element rounded to nearest by its bits, (bits + 0x8000) >> 16
//   low   bits - (high << 16) as int16: with `high` exactly the float32; bfloat16 rows need none
// The first pass reads `high` alone, two bytes of four.
#pragma once
#include <cstdint>

#include "kernels/half.h"
#include "kernels/params.h"

namespace fastret::cuda {

// Keys are visited in tiles of so many; planes and facts have room for whole tiles.
constexpr int kKeyTile = 256;
// The keys of a search are fewer, so that 32 bits tell their places.
constexpr int64_t kMostKeys = (int64_t(1) << 32) - kKeyTile;
// Elements of a plane's row: a multiple of 128 bytes, zeros beyond the dimensions, so that every copy is
// aligned.
FASTRET_HOST_DEVICE int64_t plane_stride(int64_t dim) {
  return (dim + 63) / 64 * 64;
}

// What error_bound.cuh needs to know of a key. residual: NaN where the key is never found, +inf where the
// first pass tells nothing about it.
struct alignas(16) KeyFacts {
  float scale, bias, residual, norm;
};

struct KeyPlanes {
  const uint16_t* high;   // [N up to a whole tile, plane_stride(D)]
  const int16_t* low;     // [N, plane_stride(D)], or nullptr: zeros
  const KeyFacts* facts;  // [N up to a whole tile], NaN residuals beyond N
};

FASTRET_HOST_DEVICE uint16_t high_of(uint32_t bits) {
  return uint16_t((bits + 0x8000u) >> 16);
}

FASTRET_HOST_DEVICE int16_t low_of(uint32_t bits) {
  return int16_t(bits - (uint32_t(high_of(bits)) << 16));
}

// Of the finer scan: what `high` leaves, itself rounded to bfloat16.
FASTRET_HOST_DEVICE uint16_t middle_of(float value) {
  return high_of(bits_of_float(value - widen_bf16(high_of(bits_of_float(value)))));
}

FASTRET_HOST_DEVICE float join_planes(uint16_t high, int16_t low) {
  return float_from_bits((uint32_t(high) << 16) + uint32_t(int32_t(low)));
}

}  // namespace fastret::cuda
