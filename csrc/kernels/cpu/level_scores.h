// Float32 scores of rows of levels straight from their codes, for few queries: no row is decoded.
#pragma once
#include <cstdint>

namespace fastret {

// One query, as it meets rows of levels.
struct LevelTerms {
  int bits;  // of a level: 8, 6 or 4, packed as inverted_lists.h says
  int64_t dim;
  const float* steps;    // [D]
  const float* targets;  // [D] or nullptr
};

// Rows that are scored together, so that several sums are in flight.
constexpr int kLevelRows = 4;

// sums[i] = the sum over d of steps[d] * level, or of (targets[d] - steps[d] * level)^2 where there are
// targets, for `count` rows at a distance of row_bytes. A sum has 8 lanes or more, and a term 3 roundings.
using ScoreLevels = void (*)(const LevelTerms& terms, const uint8_t* codes, int64_t row_bytes, int count,
                             float* sums);

// That of the instruction set in use.
ScoreLevels score_levels();

}  // namespace fastret
