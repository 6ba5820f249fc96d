// What each instruction set provides for product-quantized rows.
#pragma once
#include <cstdint>

#include "kernels/isa.h"

namespace fastret {

// Rows whose codes the first pass takes at a time, as a block [M, kBlockRows] of bytes.
constexpr int kBlockRows = 256;
// Entries of a table of levels: what 8 bits, or 4, can number.
constexpr int kLevels = 256;
constexpr int kNibbleLevels = 16;

using SumLevels = void(const uint8_t* levels, const uint8_t* block, int64_t num_codes, int64_t num_rows,
                       uint16_t* sums);

struct Extent {
  float smallest, largest;
  bool finite;  // otherwise the values are not all finite, and these may be anything
};

struct CodePrimitives {
  // scores[c] = sum over d of row[d] * columns[d * n + c], or of squared differences, in the order of d, each
  // step rounded; n is a multiple of 16.
  void (*column_scores)(Term term, const float* row, const float* columns, int64_t dim, int64_t n,
                        float* scores);

  // The first of the columns of the smallest sum of squared differences, as column_scores adds them; 0 where
  // no sum is below infinity.
  int64_t (*nearest_column)(const float* row, const float* columns, int64_t dim, int64_t n);

  // The first pass; nullptr where single look-ups are as fast.
  Extent (*extent)(const float* values, int64_t n);  // n is a multiple of 16
  // levels[i] = min(255, (values[i] - origin) * scale), which is not negative, rounded down; n is a multiple
  // of 16.
  void (*quantise)(const float* values, int64_t n, float origin, float scale, uint8_t* levels);
  // block[b * kBlockRows + i] = rows[i * width + b].
  void (*transpose)(const uint8_t* rows, int64_t num_rows, int64_t width, uint8_t* block);
  // sums[i] = the sum over m of levels[m, code m of row i], of the first num_rows of kBlockRows rows; others
  // may be anything. num_codes <= 257, so that sums fit 16 bits. Code m is byte m of a row in sum_bytes; in
  // sum_nibbles codes 2 b and 2 b + 1 are the lower and the upper half of byte b.
  SumLevels *sum_bytes, *sum_nibbles;
  // sums[i] = the sum over m of tables[m * table_stride + code m of row i], in the order of m, each step
  // rounded, of rows of nibbles as in sum_nibbles.
  void (*score_nibbles)(const float* tables, int64_t table_stride, const uint8_t* block, int64_t num_codes,
                        int64_t num_rows, float* sums);
  // Bit i of masks[i / 64]: sums[i] <= limit, for kBlockRows rows.
  void (*at_most)(const uint16_t* sums, uint16_t limit, uint64_t* masks);
  // Bit i of masks[i / 64]: sums[i] * step + offsets[i] <= limit, rounded at most twice.
  void (*reaching)(const uint16_t* sums, const float* offsets, float step, float limit, uint64_t* masks);
};

}  // namespace fastret
