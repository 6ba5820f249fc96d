// Primitives whose plain loops serve every set that has no reason to write its own. Included by one
// translation unit per instruction set: internal linkage keeps each copy in its own.
#pragma once
#include "kernels/isa.h"

namespace fastret {
namespace {

double centre_row(const float* row, double scale, const float* centre, int64_t dim, float* target) {
  double square = 0;
  for (int64_t d = 0; d < dim; ++d) {
    target[d] = float(row[d] * scale - centre[d]);
    square += double(target[d]) * target[d];
  }
  return square;
}

template <int kTileKeys>
void pack_panel(const float* const* rows, int64_t dim, float* panel) {
  for (int64_t d = 0; d < dim; ++d)
    for (int i = 0; i < kTileKeys; ++i) panel[d * kTileKeys + i] = rows[i][d];
}

template <int kTileKeys>
uint32_t filter(const float* dots, float query_norm, const float* slope, const float* offset, float threshold,
                float* uppers) {
  uint32_t mask = 0;
  for (int i = 0; i < kTileKeys; ++i) {
    uppers[i] = dots[i] + (query_norm * slope[i] + offset[i]);
    mask |= uint32_t(uppers[i] >= threshold) << i;
  }
  return mask;
}

}  // namespace
}  // namespace fastret
