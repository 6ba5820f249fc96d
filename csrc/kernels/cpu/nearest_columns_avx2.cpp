// The nearest columns with AVX2. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/nearest_columns.h"

namespace fastret {
namespace {

constexpr int kRows = 6;
constexpr int64_t kRowsTogether = 10 * kRows;  // go over a panel while it is in the cache
static_assert(kRowsPerTile % kRows == 0);

__m256 least_of(__m256 values) {  // in every lane
  __m256 least = _mm256_min_ps(values, _mm256_permute2f128_ps(values, values, 1));
  least = _mm256_min_ps(least, _mm256_permute_ps(least, 0x4e));
  return _mm256_min_ps(least, _mm256_permute_ps(least, 0xb1));
}

__m256i least_of(__m256i values) {
  __m256i least = _mm256_min_epi32(values, _mm256_permute2x128_si256(values, values, 1));
  least = _mm256_min_epi32(least, _mm256_shuffle_epi32(least, 0x4e));
  return _mm256_min_epi32(least, _mm256_shuffle_epi32(least, 0xb1));
}

// The two smallest values of a row so far in every 8th column, and where the smallest first were.
struct Nearest {
  __m256 smallest = _mm256_set1_ps(__builtin_inff()), second = smallest;
  __m256i columns = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

  void take(__m256 values, int64_t first) {
    const __m256i lanes =
        _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(int(first)));
    const __m256 less = _mm256_cmp_ps(values, smallest, _CMP_LT_OQ);
    second = _mm256_min_ps(second, _mm256_max_ps(values, smallest));
    smallest = _mm256_blendv_ps(smallest, values, less);
    columns = _mm256_blendv_epi8(columns, lanes, _mm256_castps_si256(less));
  }

  NearestColumn of_all() const {
    const __m256 least = least_of(smallest);
    const __m256i have = _mm256_castps_si256(_mm256_cmp_ps(smallest, least, _CMP_EQ_OQ));
    const __m256i column = least_of(_mm256_blendv_epi8(_mm256_set1_epi32(0x7fffffff), columns, have));
    const __m256 its_lane = _mm256_castsi256_ps(_mm256_cmpeq_epi32(columns, column));
    const __m256 others = least_of(_mm256_blendv_ps(smallest, second, its_lane));
    return {_mm256_cvtsi256_si32(column), _mm256_cvtss_f32(least), _mm256_cvtss_f32(others)};
  }
};

// kRows rows and one panel.
void take_panel(const float* rows, const ColumnPanels& panels, int64_t panel, Nearest* nearest) {
  const int64_t dim = panels.dim;
  const float* column = panels.columns + panel * dim * kColumnsPerPanel;
  __m256 sums[kRows][2];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm256_setzero_ps();
  for (int64_t d = 0; d < dim; ++d, column += kColumnsPerPanel) {
    const __m256 lower = _mm256_loadu_ps(column), upper = _mm256_loadu_ps(column + 8);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const __m256 x = _mm256_set1_ps(rows[r * dim + d]);
      sums[r][0] = _mm256_fmadd_ps(x, lower, sums[r][0]);
      sums[r][1] = _mm256_fmadd_ps(x, upper, sums[r][1]);
    }
  }
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    const int64_t first = panel * kColumnsPerPanel + 8 * h;
    const __m256 halves = _mm256_loadu_ps(panels.halves + first);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) nearest[r].take(_mm256_sub_ps(halves, sums[r][h]), first);
  }
}

}  // namespace

void nearest_columns_avx2(const float* rows, int64_t count, const ColumnPanels& panels,
                          NearestColumn* found) {
  for (; count > 0; count -= kRowsTogether, rows += kRowsTogether * panels.dim, found += kRowsTogether) {
    const int64_t together = count < kRowsTogether ? count : kRowsTogether;
    Nearest nearest[kRowsTogether];
    for (int64_t panel = 0; panel < panels.num_panels; ++panel)
      for (int64_t r = 0; r < together; r += kRows)
        take_panel(rows + r * panels.dim, panels, panel, nearest + r);
    for (int64_t r = 0; r < together; ++r) found[r] = nearest[r].of_all();
  }
}

}  // namespace fastret
