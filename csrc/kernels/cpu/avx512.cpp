// AVX-512 (F, BW, DQ, VL). Intrinsics and C headers only: see kernels.cmake.
#include "kernels/cpu/avx512_tiles.h"
#include "kernels/rotation.h"

namespace fastret {
namespace {

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

void prefetch(const float* row, int64_t d) {
  _mm_prefetch(reinterpret_cast<const char*>(row + d), _MM_HINT_T0);
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
void canonical_sums(const float* query, const float* const* keys, const float* const* next, int64_t dim,
                    double* sums) {
  Lanes lanes[kRowsPerCall];
  for (Lanes& lane : lanes) lane.low = lane.high = _mm512_setzero_pd();
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16) {
    const Lanes q = load_lanes(query + d, 0xffff);
    for (int r = 0; r < kRowsPerCall; ++r) {
      if (next) prefetch(next[r], d);
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

void canonical_rows(Term term, const float* query, const float* const* keys, const float* const* next,
                    int64_t dim, double* sums) {
  if (term == Term::product)
    canonical_sums<Term::product>(query, keys, next, dim, sums);
  else
    canonical_sums<Term::squared_difference>(query, keys, next, dim, sums);
}

void canonical_squares(const float* const* rows, const float* const* next, int64_t dim, double* sums) {
  Lanes lanes[kRowsPerCall];
  for (Lanes& lane : lanes) lane.low = lane.high = _mm512_setzero_pd();
  for (int64_t d = 0; d < dim; d += 16) {
    const __mmask16 mask = tail_mask(dim - d);
    for (int r = 0; r < kRowsPerCall; ++r) {
      if (next) prefetch(next[r], d);
      const Lanes x = load_lanes(rows[r] + d, mask);
      add_term<Term::product>(lanes[r], x, x);
    }
  }
  for (int r = 0; r < kRowsPerCall; ++r) sums[r] = fold(lanes[r]);
}

Centred centre_row(const float* row, double scale, const float* centre, const float* direction, int64_t dim,
                   float* target) {
  Lanes square{_mm512_setzero_pd(), _mm512_setzero_pd()}, component = square;
  const __m512d factor = _mm512_set1_pd(scale);
  for (int64_t d = 0; d < dim; d += 16) {
    const __mmask16 mask = tail_mask(dim - d);
    const Lanes x = load_lanes(row + d, mask), c = load_lanes(centre + d, mask);
    const __m256 low = _mm512_cvtpd_ps(_mm512_fmsub_pd(x.low, factor, c.low));
    const __m256 high = _mm512_cvtpd_ps(_mm512_fmsub_pd(x.high, factor, c.high));
    const Lanes t{_mm512_cvtps_pd(low), _mm512_cvtps_pd(high)};
    add_term<Term::product>(square, t, t);
    add_term<Term::product>(component, t, load_lanes(direction + d, mask));
    _mm512_mask_storeu_ps(target + d, mask, _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1));
  }
  return {fold(square), fold(component)};
}

constexpr RotationSigns kSigns;

// The butterflies within 16 elements.
__m512 rotate_lanes(__m512 v) {
  __m512 other = _mm512_permute_ps(v, 0xb1);
  v = _mm512_mask_sub_ps(_mm512_add_ps(v, other), 0xaaaa, other, v);
  other = _mm512_permute_ps(v, 0x4e);
  v = _mm512_mask_sub_ps(_mm512_add_ps(v, other), 0xcccc, other, v);
  other = _mm512_shuffle_f32x4(v, v, 0xb1);
  v = _mm512_mask_sub_ps(_mm512_add_ps(v, other), 0xf0f0, other, v);
  other = _mm512_shuffle_f32x4(v, v, 0x4e);
  return _mm512_mask_sub_ps(_mm512_add_ps(v, other), 0xff00, other, v);
}

// A block of num_vectors x 16 elements, in registers.
template <int num_vectors>
void rotate_block(float* block) {
  constexpr float root = num_vectors == 16 ? 16 : num_vectors == 4 ? 8 : 4;
  const __m512 scale = _mm512_set1_ps(1 / root);
  __m512 v[num_vectors];
#pragma GCC unroll 16
  for (int i = 0; i < num_vectors; ++i) {
    const __m512 sign = _mm512_mul_ps(_mm512_loadu_ps(kSigns.signs + 16 * i), scale);
    v[i] = rotate_lanes(_mm512_mul_ps(_mm512_loadu_ps(block + 16 * i), sign));
  }
#pragma GCC unroll 4
  for (int half = 1; half < num_vectors; half *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < num_vectors; ++i) {
      if (i & half) continue;
      const __m512 a = v[i], b = v[i + half];
      v[i] = _mm512_add_ps(a, b);
      v[i + half] = _mm512_sub_ps(a, b);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < num_vectors; ++i) _mm512_storeu_ps(block + 16 * i, v[i]);
}

void rotate_block_of_4(float* v) {
  for (int i = 0; i < 4; ++i) v[i] *= kSigns.signs[i] / 2;
  const float a = v[0] + v[1], b = v[0] - v[1], c = v[2] + v[3], d = v[2] - v[3];
  v[0] = a + c;
  v[1] = b + d;
  v[2] = a - c;
  v[3] = b - d;
}

void rotate(float* row, int64_t dim) {
  switch (rotation_block(dim)) {
    case 256:
      return for_each_block(dim, [&](int64_t offset) { rotate_block<16>(row + offset); });
    case 64:
      return for_each_block(dim, [&](int64_t offset) { rotate_block<4>(row + offset); });
    case 16:
      return for_each_block(dim, [&](int64_t offset) { rotate_block<1>(row + offset); });
    default:
      return for_each_block(dim, [&](int64_t offset) { rotate_block_of_4(row + offset); });
  }
}

float largest(const float* row, int64_t dim) {
  __m512 largest = _mm512_setzero_ps();
  for (int64_t d = 0; d < dim; d += 16)
    largest = _mm512_max_ps(largest, _mm512_abs_ps(_mm512_loadu_ps(row + d)));
  return _mm512_reduce_max_ps(largest);
}

Quantised quantise(FirstPass pass, const float* row, int64_t dim, float inverse_scale, int shift,
                   void* target) {
  const __m512 inverse = _mm512_set1_ps(inverse_scale);
  const __m512i shifts = _mm512_set1_epi32(shift);
  __m512 residual_square = _mm512_setzero_ps(), norm_square = residual_square;
  for (int64_t d = 0; d < dim; d += 16) {
    const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(row + d), inverse);
    const __m512i n = _mm512_cvtps_epi32(scaled);
    const __m512 rounded = _mm512_cvtepi32_ps(n), residual = _mm512_sub_ps(scaled, rounded);
    residual_square = _mm512_fmadd_ps(residual, residual, residual_square);
    norm_square = _mm512_fmadd_ps(rounded, rounded, norm_square);
    if (pass == FirstPass::int16)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(static_cast<int16_t*>(target) + d),
                          _mm512_cvtepi32_epi16(n));
    else
      _mm_storeu_si128(reinterpret_cast<__m128i*>(static_cast<uint8_t*>(target) + d),
                       _mm512_cvtepi32_epi8(_mm512_add_epi32(n, shifts)));
  }
  return {_mm512_reduce_add_ps(residual_square), _mm512_reduce_add_ps(norm_square)};
}

// target[j * kPanelKeys + i] = rows[i][j] for a 16 x 16 block.
void transpose_16(const int32_t* const* rows, int64_t first, int32_t* target) {
  __m512 r[16], t[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_ps(rows[i] + first);
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
    _mm512_storeu_ps(target + i * kPanelKeys, _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88));
    _mm512_storeu_ps(target + (i + 8) * kPanelKeys, _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd));
  }
}

void pack_panel(const int32_t* const* rows, int64_t steps, int32_t* panel) {
  int64_t s = 0;
  for (; s + 16 <= steps; s += 16) {
    transpose_16(rows, s, panel + s * kPanelKeys);
    transpose_16(rows + 16, s, panel + s * kPanelKeys + 16);
  }
  for (; s < steps; ++s)
    for (int i = 0; i < kPanelKeys; ++i) panel[s * kPanelKeys + i] = rows[i][s];
}

struct Int16Step {
  static __m512i add(__m512i sum, __m512i keys, __m512i query) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(keys, query));
  }
};

// Two products of a key byte (up to 255) and a query element (up to 64) fit an int16.
constexpr int kInt8QueryLevels = 64;

struct Int8Step {
  static __m512i add(__m512i sum, __m512i keys, __m512i query) {
    const __m512i pairs = _mm512_maddubs_epi16(keys, query);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
};

void dot_tile(FirstPass pass, const void* queries, int num_queries, const int32_t* start, const void* panel,
              int64_t steps, void* dots) {
  const auto tile = pass == FirstPass::float32 ? dot_tile_with<FloatStep>
                    : pass == FirstPass::int16 ? dot_tile_with<Int16Step>
                                               : dot_tile_with<Int8Step>;
  tile(queries, num_queries, start, panel, steps, dots);
}

// num_keys keys against num_queries queries, each key also against itself.
template <int num_queries, int num_keys>
void row_tile_of(const float* const* queries, const float* const* keys, const float* const* next, int64_t dim,
                 float* dots, float* squares) {
  __m512 sums[num_queries][num_keys], square_sums[num_keys];
  for (auto& row : sums)
    for (auto& sum : row) sum = _mm512_setzero_ps();
  for (auto& sum : square_sums) sum = _mm512_setzero_ps();
#pragma GCC unroll 1
  for (int64_t d = 0; d < dim; d += 16) {
    const __mmask16 mask = tail_mask(dim - d);
    __m512 x[num_keys];
#pragma GCC unroll 4
    for (int i = 0; i < num_keys; ++i) {
      x[i] = _mm512_maskz_loadu_ps(mask, keys[i] + d);
      square_sums[i] = _mm512_fmadd_ps(x[i], x[i], square_sums[i]);
      prefetch(next[i], d);
    }
#pragma GCC unroll 8
    for (int r = 0; r < num_queries; ++r) {
      const __m512 q = _mm512_maskz_loadu_ps(mask, queries[r] + d);
#pragma GCC unroll 4
      for (int i = 0; i < num_keys; ++i) sums[r][i] = _mm512_fmadd_ps(x[i], q, sums[r][i]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < num_keys; ++i) {
    squares[i] = _mm512_reduce_add_ps(square_sums[i]);
#pragma GCC unroll 8
    for (int r = 0; r < num_queries; ++r) dots[r * kPanelKeys + i] = _mm512_reduce_add_ps(sums[r][i]);
  }
}

// Three keys at a time: with 8 queries, 27 sums, 3 keys and a query take 31 of 32 registers.
template <int num_queries>
void row_panel_of(const float* const* queries, const float* const* keys, int64_t dim, float* dots,
                  float* squares) {
  int i = 0;
  for (; i + 3 < kPanelKeys; i += 3)
    row_tile_of<num_queries, 3>(queries, keys + i, keys + (i + 6 <= kPanelKeys ? i + 3 : i), dim, dots + i,
                                squares + i);
  row_tile_of<num_queries, kPanelKeys % 3>(queries, keys + i, keys + i, dim, dots + i, squares + i);
}

void row_tile(const float* const* queries, int num_queries, const float* const* keys, int64_t dim,
              float* dots, float* squares) {
  using Panel = void (*)(const float* const*, const float* const*, int64_t, float*, float*);
  static constexpr Panel panels[kRowTileQueries] = {row_panel_of<1>, row_panel_of<2>, row_panel_of<3>,
                                                    row_panel_of<4>, row_panel_of<5>, row_panel_of<6>,
                                                    row_panel_of<7>, row_panel_of<8>};
  panels[num_queries - 1](queries, keys, dim, dots, squares);
}

// The facts of half a panel.
struct HalfFacts {
  __m512 scale, residual, norm, component, offset;

  HalfFacts(const KeyFacts& keys, int first)
      : scale(_mm512_loadu_ps(keys.scale + first)),
        residual(_mm512_loadu_ps(keys.residual + first)),
        norm(_mm512_loadu_ps(keys.norm + first)),
        component(_mm512_loadu_ps(keys.component + first)),
        offset(_mm512_loadu_ps(keys.offset + first)) {}
};

template <bool integers>
void filter_tile_of(const void* dots, int num_queries, const QueryFacts* queries, const KeyFacts& keys,
                    uint32_t allowed, uint32_t first_place, Sink* sinks) {
  const HalfFacts halves[2] = {HalfFacts(keys, 0), HalfFacts(keys, 16)};
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  for (int r = 0; r < num_queries; ++r) {
    const QueryFacts& query = queries[r];
    Sink& sink = sinks[r];
    const __m512 scale = _mm512_set1_ps(query.scale), residual = _mm512_set1_ps(query.residual);
    const __m512 norm = _mm512_set1_ps(query.norm), component = _mm512_set1_ps(query.component);
    const __m512 threshold = _mm512_set1_ps(sink.threshold);
    __m512 uppers[2];
    __mmask16 kept[2];
    for (int half = 0; half < 2; ++half) {
      const HalfFacts& key = halves[half];
      const int32_t* raw = static_cast<const int32_t*>(dots) + r * kPanelKeys + 16 * half;
      const __m512 dot = integers ? _mm512_cvtepi32_ps(_mm512_loadu_si512(raw))
                                  : _mm512_castsi512_ps(_mm512_loadu_si512(raw));
      __m512 error = _mm512_fmadd_ps(residual, key.norm, key.offset);
      error = _mm512_fmadd_ps(norm, key.residual, error);
      error = _mm512_fmadd_ps(component, key.component, error);
      uppers[half] = _mm512_fmadd_ps(_mm512_mul_ps(dot, key.scale), scale, error);
      kept[half] = _mm512_cmp_ps_mask(uppers[half], threshold, _CMP_GE_OQ) & __mmask16(allowed >> 16 * half);
    }
    if (!(kept[0] | kept[1])) continue;
    for (int half = 0; half < 2; ++half) {
      const __m512i place = _mm512_add_epi32(lane, _mm512_set1_epi32(int(first_place) + 16 * half));
      _mm512_storeu_ps(sink.uppers + sink.count, _mm512_maskz_compress_ps(kept[half], uppers[half]));
      _mm512_storeu_si512(sink.places + sink.count, _mm512_maskz_compress_epi32(kept[half], place));
      sink.count += uint32_t(__builtin_popcount(kept[half]));
    }
  }
}

void filter_tile(bool integers, const void* dots, int num_queries, const QueryFacts* queries,
                 const KeyFacts& keys, uint32_t allowed, uint32_t first_place, Sink* sinks) {
  (integers ? filter_tile_of<true> : filter_tile_of<false>)(dots, num_queries, queries, keys, allowed,
                                                            first_place, sinks);
}

}  // namespace

extern const Primitives kAvx512;
const Primitives kAvx512 = {"avx512",
                            {kTileQueries, kTileQueries, kTileQueries},
                            kInt8QueryLevels,
                            2,
                            widen,
                            canonical_rows,
                            canonical_squares,
                            centre_row,
                            rotate,
                            largest,
                            quantise,
                            pack_panel,
                            dot_tile,
                            row_tile,
                            filter_tile};

}  // namespace fastret
