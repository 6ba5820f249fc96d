// The nearest of some columns, for rows of float32, and how much nearer it is than all others.
//
// A column's value is halves[c] - sum over d of row[d] * column[d], the sum in the order of d from 0 on, each
// step a fused multiply-add. Where halves are half the squared norms, the smallest value is the nearest's.
#pragma once
#include <cstdint>

namespace fastret {

constexpr int64_t kColumnsPerPanel = 16;
constexpr int64_t kRowsPerTile = 12;

struct ColumnPanels {
  const float* columns;  // [num_panels, dim, kColumnsPerPanel]
  const float* halves;   // [num_panels, kColumnsPerPanel]
  int64_t dim;
  int64_t num_panels;
};

struct NearestColumn {
  int32_t column;  // the first of the smallest value; 0 where none is below infinity
  float smallest;
  float second;  // no value of another column is smaller
};

// That of each row. `count`, a multiple of kRowsPerTile, and dim are of rows [count, dim].
using NearestColumns = void (*)(const float* rows, int64_t count, const ColumnPanels& panels,
                                NearestColumn* found);

// That of the instruction set in use.
NearestColumns nearest_columns();

}  // namespace fastret
