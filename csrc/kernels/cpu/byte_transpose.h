// Transposing bytes with SSE2, which all of x86-64 has. Intrinsics and C headers only: see kernels.cmake.
#pragma once
#include <immintrin.h>
#include <string.h>

#include "kernels/code_primitives.h"

namespace fastret {
namespace {

// 16 rows of kWidth bytes, one behind the other, into kWidth columns. Each of the four rounds interleaves the
// two halves of all bytes, which moves the highest bit of a byte's number behind the lowest.
template <int kWidth>
void transpose_tile(__m128i* tile) {
  __m128i other[kWidth];
  for (int round = 0; round < 4; ++round) {
    for (int r = 0; r < kWidth / 2; ++r) {
      other[2 * r] = _mm_unpacklo_epi8(tile[r], tile[r + kWidth / 2]);
      other[2 * r + 1] = _mm_unpackhi_epi8(tile[r], tile[r + kWidth / 2]);
    }
    for (int r = 0; r < kWidth; ++r) tile[r] = other[r];
  }
}

// 16 bytes, those from `end` on zero and not looked at.
__m128i load_before(const uint8_t* bytes, const uint8_t* end) {
  if (end - bytes >= 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  uint8_t padded[16] = {};
  if (bytes < end) memcpy(padded, bytes, size_t(end - bytes));
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(padded));
}

// Rows of kWidth bytes.
template <int kWidth>
void transpose_narrow(const uint8_t* rows, int64_t num_rows, uint8_t* block) {
  const uint8_t* end = rows + num_rows * kWidth;
  for (int64_t first = 0; first < num_rows; first += 16) {
    __m128i tile[kWidth];
    for (int r = 0; r < kWidth; ++r) tile[r] = load_before(rows + first * kWidth + 16 * r, end);
    transpose_tile<kWidth>(tile);
    for (int c = 0; c < kWidth; ++c)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(block + c * kBlockRows + first), tile[c]);
  }
}

// CodePrimitives::transpose. What a tile holds beyond its row, and beyond the rows, is not stored or not
// used.
void transpose_bytes(const uint8_t* rows, int64_t num_rows, int64_t width, uint8_t* block) {
  if (width == 2) return transpose_narrow<2>(rows, num_rows, block);
  if (width == 4) return transpose_narrow<4>(rows, num_rows, block);
  if (width == 8) return transpose_narrow<8>(rows, num_rows, block);
  const uint8_t* end = rows + num_rows * width;
  for (int64_t first = 0; first < num_rows; first += 16)
    for (int64_t column = 0; column < width; column += 16) {
      __m128i tile[16];
      for (int64_t r = 0; r < 16; ++r) tile[r] = load_before(rows + (first + r) * width + column, end);
      transpose_tile<16>(tile);
      for (int64_t c = 0; c < 16 && column + c < width; ++c)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(block + (column + c) * kBlockRows + first), tile[c]);
    }
}

}  // namespace
}  // namespace fastret
