// A rank value and a position as one 64-bit key: the larger key ranks first; of equal values the smaller
// position has the larger key, and -0 equals +0. kNothing, smaller than the key of any number, stands for NaN
// and for no entry.
#pragma once
#include "kernels/half.h"

namespace fastret::cuda {

constexpr uint64_t kNothing = 0;

// Order-preserving bits of a value; 0 for NaN. -inf gives 0x007fffff.
FASTRET_HOST_DEVICE uint32_t ordered_bits(float value) {
  if (value != value) return 0;
  const uint32_t bits = bits_of_float(value + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

FASTRET_HOST_DEVICE uint64_t rank_key(uint32_t ordered, uint32_t position) {
  return ordered == 0 ? kNothing : uint64_t(ordered) << 32 | uint32_t(~position);
}

FASTRET_HOST_DEVICE float value_of_key(uint64_t key) {
  const uint32_t ordered = uint32_t(key >> 32);
  return float_from_bits(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered);
}

FASTRET_HOST_DEVICE uint32_t position_of_key(uint64_t key) {
  return ~uint32_t(key);
}

FASTRET_HOST_DEVICE int64_t power_of_two_from(int64_t count) {
  int64_t power = 1;
  while (power < count) power *= 2;
  return power;
}

// Rows of rank keys, in no order.
struct KeyRows {
  uint64_t* keys;    // [rows, capacity]
  uint32_t* counts;  // [rows]
  int64_t capacity;

  KeyRows from(int64_t first) const { return {keys + first * capacity, counts + first, capacity}; }
};

}  // namespace fastret::cuda
