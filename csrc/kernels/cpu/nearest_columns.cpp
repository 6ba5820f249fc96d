#include "kernels/cpu/nearest_columns.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/isa.h"

namespace fastret {

#if defined(__x86_64__)
void nearest_columns_avx2(const float*, int64_t, const ColumnPanels&, NearestColumn*);
void nearest_columns_avx512(const float*, int64_t, const ColumnPanels&, NearestColumn*);
#endif

namespace {

void nearest_columns_scalar(const float* rows, int64_t count, const ColumnPanels& panels,
                            NearestColumn* found) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (int64_t row = 0; row < count; ++row, rows += panels.dim) {
    NearestColumn nearest = {0, kInfinity, kInfinity};
    for (int64_t panel = 0; panel < panels.num_panels; ++panel) {
      const float* column = panels.columns + panel * panels.dim * kColumnsPerPanel;
      float sums[kColumnsPerPanel] = {};
      for (int64_t d = 0; d < panels.dim; ++d, column += kColumnsPerPanel)
        for (int64_t i = 0; i < kColumnsPerPanel; ++i) sums[i] = std::fma(rows[d], column[i], sums[i]);
      for (int64_t c = panel * kColumnsPerPanel, i = 0; i < kColumnsPerPanel; ++c, ++i) {
        const float value = panels.halves[c] - sums[i];
        nearest.second = std::min(nearest.second, std::max(nearest.smallest, value));
        if (value < nearest.smallest) {
          nearest.smallest = value;
          nearest.column = int32_t(c);
        }
      }
    }
    found[row] = nearest;
  }
}

}  // namespace

NearestColumns nearest_columns() {
#if defined(__x86_64__)
  const char* name = primitives().name;
  if (std::strncmp(name, "avx512", 6) == 0) return nearest_columns_avx512;
  if (std::strncmp(name, "avx2", 4) == 0) return nearest_columns_avx2;
#endif
  return nearest_columns_scalar;
}

}  // namespace fastret
