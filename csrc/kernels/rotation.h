// The rotation before integers are made of a row: it spreads large elements over many dimensions, so that one
// scale fits all of a row.
//
// Blocks of B dimensions are multiplied by H diag(signs) / sqrt(B), H the Hadamard matrix of order B; B is
// the largest of 256, 64, 16 and 4 that fits in D, a power of 4, so that 1 / sqrt(B) is exact. Blocks start
// at 0, B, 2B, ...; where B does not divide D, one more block then covers the last B dimensions. D < 4: no
// rotation. Every element goes through at most 16 additions: as each rounds by 2^-24 of its result, the
// 2-norm of the rotation's error is at most 16 * 2^-24 (1 + 2^-18) of the row's.
#pragma once
#include <cstdint>

namespace fastret {

constexpr int64_t kLargestBlock = 256;
constexpr double kRotationRoundings = 16;

constexpr int64_t rotation_block(int64_t dim) {
  return dim >= 256 ? 256 : dim >= 64 ? 64 : dim >= 16 ? 16 : dim >= 4 ? 4 : 1;
}

// Part of the file format of packed keys: changing a sign makes stored panels wrong.
struct RotationSigns {
  float signs[kLargestBlock];

  constexpr RotationSigns() : signs() {
    uint32_t state = 0x9e3779b9u;
    for (float& sign : signs) {
      state = state * 1664525u + 1013904223u;
      sign = state >> 31 ? -1.0f : 1.0f;
    }
  }
};

// Calls block(offset) for every block of the rotation, in order.
template <class F>
void for_each_block(int64_t dim, F&& block) {
  const int64_t size = rotation_block(dim);
  if (size == 1) return;
  for (int64_t offset = 0; offset + size <= dim; offset += size) block(offset);
  if (dim % size) block(dim - size);
}

}  // namespace fastret
