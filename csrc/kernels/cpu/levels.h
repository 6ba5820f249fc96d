// The levels of scalar-quantized rows as float32: least + (level + 0.5) / steps * width, plus the centroid
// where there is one, each step rounded. The same bits on every instruction set: the sets divide by a product
// with 1 / steps and one step of Newton's on its remainder, which rounds as a division for every level of 4,
// 6 and 8 bits.
#pragma once
#include <cstdint>

namespace fastret {

struct LevelRange {
  float steps;         // 255, 63 or 15
  const float* least;  // [n]
  const float* width;  // [n]
};

// levels [n], centroid [n] or nullptr, target [n]
using DecodeLevels = void (*)(const uint8_t* levels, int64_t n, const LevelRange& range,
                              const float* centroid, float* target);

// That of the instruction set in use.
DecodeLevels decode_levels();

}  // namespace fastret
