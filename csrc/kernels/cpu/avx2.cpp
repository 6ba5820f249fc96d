// AVX2 with FMA and F16C. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/plain_loops.h"
#include "kernels/isa.h"

namespace fastret {
namespace {

constexpr int kTileQueries = 6;  // 6 x 2 accumulators, 2 panel vectors, 1 broadcast: 15 of 16 registers
constexpr int kHalfPanel = 16;
constexpr int kInt8QueryLevels = 64;

void widen(const void* source, DType dtype, int64_t n, float* target) {
  const float* wide = static_cast<const float*>(source);
  const uint16_t* half = static_cast<const uint16_t*>(source);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 v;
    if (dtype == DType::f32) {
      v = _mm256_loadu_ps(wide + i);
    } else {
      const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(half + i));
      v = dtype == DType::f16 ? _mm256_cvtph_ps(h)
                              : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
    }
    _mm256_storeu_ps(target + i, v);
  }
  for (; i < n; ++i) {
    if (dtype == DType::f32)
      target[i] = wide[i];
    else if (dtype == DType::f16)
      target[i] = _cvtsh_ss(half[i]);
    else
      target[i] = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(int(uint32_t(half[i]) << 16))));
  }
}

// 16 canonical lanes as four vectors of float64.
struct Lanes {
  __m256d v[4];
};

Lanes zero_lanes() {
  const __m256d zero = _mm256_setzero_pd();
  return {{zero, zero, zero, zero}};
}

Lanes load_lanes(const float* row) {
  Lanes lanes;
  for (int i = 0; i < 4; ++i) lanes.v[i] = _mm256_cvtps_pd(_mm_loadu_ps(row + 4 * i));
  return lanes;
}

Lanes load_tail(const float* row, int64_t count) {  // absent dimensions are 0 and add +0
  float padded[16] = {};
  for (int64_t j = 0; j < count; ++j) padded[j] = row[j];
  return load_lanes(padded);
}

double fold(const Lanes& lanes) {  // halves 8, 4, 2, 1
  const __m256d low = _mm256_add_pd(lanes.v[0], lanes.v[2]), high = _mm256_add_pd(lanes.v[1], lanes.v[3]);
  const __m256d four = _mm256_add_pd(low, high);
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

template <Term term>
void add_term(Lanes& sum, const Lanes& a, const Lanes& b) {
  for (int i = 0; i < 4; ++i) {
    if constexpr (term == Term::product) {
      sum.v[i] = _mm256_fmadd_pd(a.v[i], b.v[i], sum.v[i]);
    } else {
      const __m256d difference = _mm256_sub_pd(a.v[i], b.v[i]);
      sum.v[i] = _mm256_add_pd(sum.v[i], _mm256_mul_pd(difference, difference));
    }
  }
}

// Two rows at a time: eight accumulators stay in registers.
template <Term term>
void canonical_pair(const float* query, const float* key_a, const float* key_b, int64_t dim, double* sums) {
  Lanes a = zero_lanes(), b = zero_lanes();
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16) {
    const Lanes q = load_lanes(query + d);
    add_term<term>(a, q, load_lanes(key_a + d));
    add_term<term>(b, q, load_lanes(key_b + d));
  }
  if (d < dim) {
    const Lanes q = load_tail(query + d, dim - d);
    add_term<term>(a, q, load_tail(key_a + d, dim - d));
    add_term<term>(b, q, load_tail(key_b + d, dim - d));
  }
  sums[0] = fold(a);
  sums[1] = fold(b);
}

void canonical_rows(Term term, const float* query, const float* const* keys, const float* const*, int64_t dim,
                    double* sums) {
  for (int r = 0; r < kRowsPerCall; r += 2) {
    if (term == Term::product)
      canonical_pair<Term::product>(query, keys[r], keys[r + 1], dim, sums + r);
    else
      canonical_pair<Term::squared_difference>(query, keys[r], keys[r + 1], dim, sums + r);
  }
}

void canonical_squares(const float* const* rows, const float* const*, int64_t dim, double* sums) {
  for (int r = 0; r < kRowsPerCall; ++r) {
    Lanes square = zero_lanes();
    int64_t d = 0;
    for (; d + 16 <= dim; d += 16) {
      const Lanes x = load_lanes(rows[r] + d);
      add_term<Term::product>(square, x, x);
    }
    if (d < dim) {
      const Lanes x = load_tail(rows[r] + d, dim - d);
      add_term<Term::product>(square, x, x);
    }
    sums[r] = fold(square);
  }
}

template <int num_queries>
void dot_tile_of(const float* queries, const float* panel, int64_t dim, float* dots) {
  __m256 sums[num_queries][2];
  for (auto& sum : sums) sum[0] = sum[1] = _mm256_setzero_ps();
#pragma GCC unroll 1
  for (int64_t d = 0; d < dim; ++d) {
    const __m256 low = _mm256_loadu_ps(panel + d * kPanelKeys);
    const __m256 high = _mm256_loadu_ps(panel + d * kPanelKeys + 8);
#pragma GCC unroll 6
    for (int r = 0; r < num_queries; ++r) {
      const __m256 q = _mm256_broadcast_ss(queries + d * num_queries + r);
      sums[r][0] = _mm256_fmadd_ps(low, q, sums[r][0]);
      sums[r][1] = _mm256_fmadd_ps(high, q, sums[r][1]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < num_queries; ++r) {
    _mm256_storeu_ps(dots + r * kPanelKeys, sums[r][0]);
    _mm256_storeu_ps(dots + r * kPanelKeys + 8, sums[r][1]);
  }
}

void dot_tile(FirstPass pass, const void* queries, int num_queries, const int32_t* start, const void* panel,
              int64_t steps, void* dots) {
  if (pass != FirstPass::float32)
    return integer_dot_tile(pass, static_cast<const int32_t*>(queries), num_queries, start,
                            static_cast<const int32_t*>(panel), steps, static_cast<int32_t*>(dots));
  using Tile = void (*)(const float*, const float*, int64_t, float*);
  static const Tile tiles[kTileQueries] = {dot_tile_of<1>, dot_tile_of<2>, dot_tile_of<3>,
                                           dot_tile_of<4>, dot_tile_of<5>, dot_tile_of<6>};
  for (int half = 0; half < 2; ++half)
    tiles[num_queries - 1](static_cast<const float*>(queries),
                           static_cast<const float*>(panel) + half * kHalfPanel, steps,
                           static_cast<float*>(dots) + half * kHalfPanel);
}

}  // namespace

extern const Primitives kAvx2;
const Primitives kAvx2 = {"avx2",
                          {kTileQueries, kTileQueries, kTileQueries},
                          kInt8QueryLevels,
                          1,
                          widen,
                          canonical_rows,
                          canonical_squares,
                          centre_row,
                          rotate,
                          largest,
                          quantise,
                          pack_panel,
                          dot_tile,
                          filter_tile};

}  // namespace fastret
