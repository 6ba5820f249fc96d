// What each instruction set provides for product-quantized rows.
#pragma once
#include <cstdint>

#include "kernels/isa.h"

namespace fastret {

// Rows whose codes the first pass takes at a time, as a block [M, kBlockRows] of bytes.
constexpr int kBlockRows = 256;
// Entries of a table of levels: what 8 bits can number.
constexpr int kLevels = 256;

struct CodePrimitives {
  // scores[c] = sum over d of row[d] * columns[d * n + c], or of squared differences, in the order of d, each
  // step rounded; n is a multiple of 16.
  void (*column_scores)(Term term, const float* row, const float* columns, int64_t dim, int64_t n,
                        float* scores);

  // The first of the smallest of n values, n a multiple of 16; 0 where none compares.
  int64_t (*first_smallest)(const float* values, int64_t n);

  // The first pass, or nullptr in all three where single look-ups are as fast.
  // levels[i] = min(255, (values[i] - origin) * scale), which is not negative, rounded down; n is a multiple
  // of 16.
  void (*quantise)(const float* values, int64_t n, float origin, float scale, uint8_t* levels);
  // block[m * kBlockRows + i] = rows[i * width + m].
  void (*transpose)(const uint8_t* rows, int64_t num_rows, int64_t width, uint8_t* block);
  // Bit i of masks[i / 64]: (sum over m of levels[m * kLevels + block[m * kBlockRows + i]]) * step +
  // offsets[i] <= limit, rounded at most twice. num_codes <= 257, so that sums fit 16 bits.
  void (*reaching)(const uint8_t* levels, const uint8_t* block, int64_t num_codes, const float* offsets,
                   float step, float limit, uint64_t* masks);
};

}  // namespace fastret
