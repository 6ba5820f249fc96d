// Reading and writing the codes of a row.
#pragma once
#include <cstring>

#include "kernels/product_codes.h"

namespace fastret::cpu {

struct ByteCodes {
  static constexpr int kBits = 8;
  int operator()(const uint8_t* row, int64_t m) const { return row[m]; }
};

struct PackedCodes {
  int nbits;
  // A code touches at most three bytes; the last one of a row may not be read beyond.
  int operator()(const uint8_t* row, int64_t m) const {
    const int64_t first = m * nbits, last = first + nbits - 1;
    uint32_t bytes = 0;
    for (int64_t byte = first / 8; byte <= last / 8; ++byte)
      bytes |= uint32_t(row[byte]) << (8 * (byte - first / 8));
    return int(bytes >> (first % 8) & ((1u << nbits) - 1));
  }
};

// Calls f with the reader for codes of nbits bits.
template <class F>
void with_code_reader(int nbits, F&& f) {
  nbits == ByteCodes::kBits ? f(ByteCodes{}) : f(PackedCodes{nbits});
}

// Adds code m to a row that was zero before.
inline void put_code(uint8_t* row, int64_t m, int nbits, uint32_t code) {
  const int64_t first = m * nbits;
  code <<= first % 8;
  for (int64_t byte = first / 8; code; ++byte, code >>= 8) row[byte] |= uint8_t(code);
}

}  // namespace fastret::cpu
