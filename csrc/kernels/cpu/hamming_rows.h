// Hamming distances to rows as they lie, word by word. C headers only, and no linkage: every instruction set
// compiles its own.
#pragma once
#include <cstring>

#include "kernels/cpu/hamming_kernel.h"

namespace fastret {
namespace {

inline uint64_t hamming_word(const uint8_t* code, int64_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, code, size_t(bytes));
  return word;
}

// words: of 8 whole bytes each, or 0: as many as there are, and a rest.
template <int words>
int64_t nearer_rows_of(const uint64_t* query, const uint8_t* codes, int64_t count, int64_t bytes,
                       int32_t limit, HammingHit* hits) {
  const int64_t whole = words ? words : bytes / 8, rest = words ? 0 : bytes % 8;
  int64_t found = 0;
  for (int64_t i = 0; i < count; ++i, codes += words ? 8 * words : bytes) {
    int32_t distance = 0;
    for (int64_t w = 0; w < whole; ++w)
      distance += __builtin_popcountll(query[w] ^ hamming_word(codes + 8 * w, 8));
    if (rest) distance += __builtin_popcountll(query[whole] ^ hamming_word(codes + 8 * whole, rest));
    if (distance < limit) hits[found++] = {int32_t(i), distance};
  }
  return found;
}

[[maybe_unused]] int64_t nearer_rows(const uint64_t* query, const uint8_t* codes, int64_t count,
                                     int64_t bytes, int32_t limit, HammingHit* hits) {
  const auto rows = bytes == 8    ? nearer_rows_of<1>
                    : bytes == 16 ? nearer_rows_of<2>
                    : bytes == 32 ? nearer_rows_of<4>
                    : bytes == 64 ? nearer_rows_of<8>
                                  : nearer_rows_of<0>;
  return rows(query, codes, count, bytes, limit, hits);
}

}  // namespace
}  // namespace fastret
