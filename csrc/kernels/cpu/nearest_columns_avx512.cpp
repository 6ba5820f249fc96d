// The nearest columns with AVX-512. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/nearest_columns.h"

namespace fastret {
namespace {

constexpr int kRows = kRowsPerTile;
constexpr int64_t kRowsTogether = 5 * kRows;  // go over a panel while it is in the cache

// The two smallest values of a row so far in every 16th column, and where the smallest first were.
struct Nearest {
  __m512 smallest = _mm512_set1_ps(__builtin_inff()), second = smallest;
  __m512i columns = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

  void take(__m512 values, int64_t first) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __mmask16 less = _mm512_cmp_ps_mask(values, smallest, _CMP_LT_OQ);
    second = _mm512_min_ps(second, _mm512_max_ps(values, smallest));
    smallest = _mm512_mask_mov_ps(smallest, less, values);
    columns = _mm512_mask_add_epi32(columns, less, lanes, _mm512_set1_epi32(int(first)));
  }

  NearestColumn of_all() const {
    const float least = _mm512_reduce_min_ps(smallest);
    const __mmask16 have = _mm512_cmp_ps_mask(smallest, _mm512_set1_ps(least), _CMP_EQ_OQ);
    const int32_t column = _mm512_mask_reduce_min_epi32(have, columns);
    const __mmask16 its_lane = _mm512_cmpeq_epi32_mask(columns, _mm512_set1_epi32(column));
    return {column, least, _mm512_reduce_min_ps(_mm512_mask_mov_ps(smallest, its_lane, second))};
  }
};

// kRows rows and so many panels from `panel` on.
template <int num_panels>
void take_panels(const float* rows, const ColumnPanels& panels, int64_t panel, Nearest* nearest) {
  const int64_t dim = panels.dim;
  const float* columns = panels.columns + panel * dim * kColumnsPerPanel;
  __m512 sums[kRows][num_panels];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < num_panels; ++p) sums[r][p] = _mm512_setzero_ps();
  for (int64_t d = 0; d < dim; ++d) {
    __m512 column[num_panels];
#pragma GCC unroll 2
    for (int p = 0; p < num_panels; ++p)
      column[p] = _mm512_loadu_ps(columns + (p * dim + d) * kColumnsPerPanel);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const __m512 x = _mm512_set1_ps(rows[r * dim + d]);
#pragma GCC unroll 2
      for (int p = 0; p < num_panels; ++p) sums[r][p] = _mm512_fmadd_ps(x, column[p], sums[r][p]);
    }
  }
#pragma GCC unroll 2
  for (int p = 0; p < num_panels; ++p) {
    const int64_t first = (panel + p) * kColumnsPerPanel;
    const __m512 halves = _mm512_loadu_ps(panels.halves + first);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) nearest[r].take(_mm512_sub_ps(halves, sums[r][p]), first);
  }
}

}  // namespace

void nearest_columns_avx512(const float* rows, int64_t count, const ColumnPanels& panels,
                            NearestColumn* found) {
  for (; count > 0; count -= kRowsTogether, rows += kRowsTogether * panels.dim, found += kRowsTogether) {
    const int64_t together = count < kRowsTogether ? count : kRowsTogether;
    Nearest nearest[kRowsTogether];
    for (int64_t panel = 0; panel < panels.num_panels; panel += 2)
      for (int64_t r = 0; r < together; r += kRows)
        (panel + 1 < panels.num_panels ? take_panels<2> : take_panels<1>)(rows + r * panels.dim, panels,
                                                                          panel, nearest + r);
    for (int64_t r = 0; r < together; ++r) found[r] = nearest[r].of_all();
  }
}

}  // namespace fastret
