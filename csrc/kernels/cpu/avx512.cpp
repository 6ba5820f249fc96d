// AVX-512 (F, BW, DQ, VL). Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/isa.h"

namespace fastret {
namespace {

constexpr int kTileQueries = 14;  // 14 x 2 accumulators, 2 panel vectors, 1 broadcast: 31 of 32 registers
constexpr int kTileKeys = 32;

__mmask16 tail_mask(int64_t remaining) {
  return remaining >= 16 ? __mmask16(0xffff) : __mmask16((1u << remaining) - 1);
}

void widen(const void* source, DType dtype, int64_t n, float* target) {
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = tail_mask(n - i);
    __m512 wide;
    if (dtype == DType::f32) {
      wide = _mm512_maskz_loadu_ps(mask, static_cast<const float*>(source) + i);
    } else {
      const __m256i half = _mm256_maskz_loadu_epi16(mask, static_cast<const uint16_t*>(source) + i);
      wide = dtype == DType::f16 ? _mm512_cvtph_ps(half)
                                 : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    _mm512_mask_storeu_ps(target + i, mask, wide);
  }
}

// 16 canonical lanes as two vectors of float64.
struct Lanes {
  __m512d low, high;
};

Lanes load_lanes(const float* row, __mmask16 mask) {
  const __m512 v = _mm512_maskz_loadu_ps(mask, row);
  return {_mm512_cvtps_pd(_mm512_castps512_ps256(v)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))};
}

// Rows mostly follow one another in memory: those of the next call are this far ahead. A prefetch beyond the
// last row does nothing.
void prefetch_next_call(const float* element, int64_t dim) {
  _mm_prefetch(reinterpret_cast<const char*>(element) + kRowsPerCall * dim * int64_t(sizeof(float)),
               _MM_HINT_T0);
}

double fold(Lanes lanes) {  // halves 8, 4, 2, 1
  const __m512d eight = _mm512_add_pd(lanes.low, lanes.high);
  const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

template <Term term>
void add_term(Lanes& sum, const Lanes& a, const Lanes& b) {
  if constexpr (term == Term::product) {
    sum.low = _mm512_fmadd_pd(a.low, b.low, sum.low);
    sum.high = _mm512_fmadd_pd(a.high, b.high, sum.high);
  } else {
    const __m512d low = _mm512_sub_pd(a.low, b.low), high = _mm512_sub_pd(a.high, b.high);
    sum.low = _mm512_add_pd(sum.low, _mm512_mul_pd(low, low));
    sum.high = _mm512_add_pd(sum.high, _mm512_mul_pd(high, high));
  }
}

template <Term term>
void canonical_sums(const float* query, const float* const* keys, int64_t dim, double* sums) {
  Lanes lanes[kRowsPerCall];
  for (Lanes& lane : lanes) lane.low = lane.high = _mm512_setzero_pd();
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16) {
    const Lanes q = load_lanes(query + d, 0xffff);
    for (int r = 0; r < kRowsPerCall; ++r) {
      prefetch_next_call(keys[r] + d, dim);
      add_term<term>(lanes[r], q, load_lanes(keys[r] + d, 0xffff));
    }
  }
  if (d < dim) {  // absent dimensions are 0 on both sides and add +0
    const __mmask16 mask = tail_mask(dim - d);
    const Lanes q = load_lanes(query + d, mask);
    for (int r = 0; r < kRowsPerCall; ++r) add_term<term>(lanes[r], q, load_lanes(keys[r] + d, mask));
  }
  for (int r = 0; r < kRowsPerCall; ++r) sums[r] = fold(lanes[r]);
}

void canonical_rows(Term term, const float* query, const float* const* keys, int64_t dim, double* sums) {
  if (term == Term::product)
    canonical_sums<Term::product>(query, keys, dim, sums);
  else
    canonical_sums<Term::squared_difference>(query, keys, dim, sums);
}

void canonical_squares(const float* const* rows, int64_t dim, double* sums) {
  Lanes lanes[kRowsPerCall];
  for (Lanes& lane : lanes) lane.low = lane.high = _mm512_setzero_pd();
  for (int64_t d = 0; d < dim; d += 16) {
    const __mmask16 mask = tail_mask(dim - d);
    for (int r = 0; r < kRowsPerCall; ++r) {
      prefetch_next_call(rows[r] + d, dim);
      const Lanes x = load_lanes(rows[r] + d, mask);
      add_term<Term::product>(lanes[r], x, x);
    }
  }
  for (int r = 0; r < kRowsPerCall; ++r) sums[r] = fold(lanes[r]);
}

double centre_row(const float* row, double scale, const float* centre, int64_t dim, float* target) {
  Lanes square{_mm512_setzero_pd(), _mm512_setzero_pd()};
  const __m512d factor = _mm512_set1_pd(scale);
  for (int64_t d = 0; d < dim; d += 16) {
    const __mmask16 mask = tail_mask(dim - d);
    const Lanes x = load_lanes(row + d, mask), c = load_lanes(centre + d, mask);
    const __m256 low = _mm512_cvtpd_ps(_mm512_fmsub_pd(x.low, factor, c.low));
    const __m256 high = _mm512_cvtpd_ps(_mm512_fmsub_pd(x.high, factor, c.high));
    const Lanes t{_mm512_cvtps_pd(low), _mm512_cvtps_pd(high)};
    add_term<Term::product>(square, t, t);
    _mm512_mask_storeu_ps(target + d, mask, _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1));
  }
  return fold(square);
}

// target[j * kTileKeys + i] = rows[i][j] for a 16 x 16 block.
void transpose_16(const float* const* rows, int64_t d, float* target) {
  __m512 r[16], t[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_ps(rows[i] + d);
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    r[4 * i + 2] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    _mm512_storeu_ps(target + i * kTileKeys, _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88));
    _mm512_storeu_ps(target + (i + 8) * kTileKeys, _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd));
  }
}

void pack_panel(const float* const* rows, int64_t dim, float* panel) {
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16) {
    transpose_16(rows, d, panel + d * kTileKeys);
    transpose_16(rows + 16, d, panel + d * kTileKeys + 16);
  }
  for (; d < dim; ++d)
    for (int i = 0; i < kTileKeys; ++i) panel[d * kTileKeys + i] = rows[i][d];
}

template <int num_queries>
void dot_tile_of(const float* queries, const float* panel, int64_t dim, float* dots) {
  __m512 sums[num_queries][2];
  for (auto& sum : sums) sum[0] = sum[1] = _mm512_setzero_ps();
#pragma GCC unroll 1
  for (int64_t d = 0; d < dim; ++d) {
    const __m512 low = _mm512_loadu_ps(panel + d * kTileKeys);
    const __m512 high = _mm512_loadu_ps(panel + d * kTileKeys + 16);
#pragma GCC unroll 14
    for (int r = 0; r < num_queries; ++r) {
      const __m512 q = _mm512_set1_ps(queries[d * num_queries + r]);
      sums[r][0] = _mm512_fmadd_ps(low, q, sums[r][0]);
      sums[r][1] = _mm512_fmadd_ps(high, q, sums[r][1]);
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < num_queries; ++r) {
    _mm512_storeu_ps(dots + r * kTileKeys, sums[r][0]);
    _mm512_storeu_ps(dots + r * kTileKeys + 16, sums[r][1]);
  }
}

void dot_tile(const float* queries, int num_queries, const float* panel, int64_t dim, float* dots) {
  using Tile = void (*)(const float*, const float*, int64_t, float*);
  static const Tile tiles[kTileQueries] = {dot_tile_of<1>,  dot_tile_of<2>,  dot_tile_of<3>,  dot_tile_of<4>,
                                           dot_tile_of<5>,  dot_tile_of<6>,  dot_tile_of<7>,  dot_tile_of<8>,
                                           dot_tile_of<9>,  dot_tile_of<10>, dot_tile_of<11>, dot_tile_of<12>,
                                           dot_tile_of<13>, dot_tile_of<14>};
  tiles[num_queries - 1](queries, panel, dim, dots);
}

uint32_t filter(const float* dots, float query_norm, const float* slope, const float* offset, float threshold,
                float* uppers) {
  const __m512 norm = _mm512_set1_ps(query_norm), limit = _mm512_set1_ps(threshold);
  uint32_t mask = 0;
  for (int i = 0; i < kTileKeys; i += 16) {
    const __m512 error = _mm512_fmadd_ps(norm, _mm512_loadu_ps(slope + i), _mm512_loadu_ps(offset + i));
    const __m512 upper = _mm512_add_ps(_mm512_loadu_ps(dots + i), error);
    _mm512_storeu_ps(uppers + i, upper);
    mask |= uint32_t(_mm512_cmp_ps_mask(upper, limit, _CMP_GE_OQ)) << i;
  }
  return mask;
}

}  // namespace

extern const Primitives kAvx512;
const Primitives kAvx512 = {"avx512",          kTileQueries, kTileKeys,  widen,    canonical_rows,
                            canonical_squares, centre_row,   pack_panel, dot_tile, filter};

}  // namespace fastret
