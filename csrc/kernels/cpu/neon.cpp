// NEON on AArch64. Intrinsics and C headers only: see kernels.cmake.
#include <arm_neon.h>

#include "kernels/cpu/plain_loops.h"
#include "kernels/isa.h"

namespace fastret {
namespace {

constexpr int kTileQueries = 6;  // 6 x 4 accumulators, 4 panel vectors, 1 broadcast: 29 of 32 registers
constexpr int kHalfPanel = 16;
constexpr int kInt8QueryLevels = 127;

void widen(const void* source, DType dtype, int64_t n, float* target) {
  const float* wide = static_cast<const float*>(source);
  const uint16_t* half = static_cast<const uint16_t*>(source);
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    float32x4_t v;
    if (dtype == DType::f32)
      v = vld1q_f32(wide + i);
    else if (dtype == DType::f16)
      v = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(half + i)));
    else
      v = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(half + i), 16));
    vst1q_f32(target + i, v);
  }
  if (i < n) {  // the last elements, padded to a vector
    uint16_t padded[4] = {};
    float result[4];
    for (int64_t j = i; j < n; ++j) {
      if (dtype == DType::f32)
        target[j] = wide[j];
      else
        padded[j - i] = half[j];
    }
    if (dtype == DType::f32) return;
    vst1q_f32(result, dtype == DType::f16 ? vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(padded)))
                                          : vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(padded), 16)));
    for (int64_t j = i; j < n; ++j) target[j] = result[j - i];
  }
}

// 16 canonical lanes as eight vectors of float64.
struct Lanes {
  float64x2_t v[8];
};

Lanes zero_lanes() {
  Lanes lanes;
  for (auto& v : lanes.v) v = vdupq_n_f64(0);
  return lanes;
}

Lanes load_lanes(const float* row) {
  Lanes lanes;
  for (int i = 0; i < 4; ++i) {
    const float32x4_t v = vld1q_f32(row + 4 * i);
    lanes.v[2 * i] = vcvt_f64_f32(vget_low_f32(v));
    lanes.v[2 * i + 1] = vcvt_high_f64_f32(v);
  }
  return lanes;
}

Lanes load_tail(const float* row, int64_t count) {  // absent dimensions are 0 and add +0
  float padded[16] = {};
  for (int64_t j = 0; j < count; ++j) padded[j] = row[j];
  return load_lanes(padded);
}

double fold(Lanes lanes) {  // halves 8, 4, 2, 1
  for (int half = 4; half; half /= 2)
    for (int i = 0; i < half; ++i) lanes.v[i] = vaddq_f64(lanes.v[i], lanes.v[i + half]);
  return vgetq_lane_f64(lanes.v[0], 0) + vgetq_lane_f64(lanes.v[0], 1);
}

template <Term term>
void add_term(Lanes& sum, const Lanes& a, const Lanes& b) {
  for (int i = 0; i < 8; ++i) {
    if constexpr (term == Term::product) {
      sum.v[i] = vfmaq_f64(sum.v[i], a.v[i], b.v[i]);
    } else {
      const float64x2_t difference = vsubq_f64(a.v[i], b.v[i]);
      sum.v[i] = vaddq_f64(sum.v[i], vmulq_f64(difference, difference));
    }
  }
}

template <Term term>
double canonical_sum(const float* a, const float* b, int64_t dim) {
  Lanes lanes = zero_lanes();
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16) add_term<term>(lanes, load_lanes(a + d), load_lanes(b + d));
  if (d < dim) add_term<term>(lanes, load_tail(a + d, dim - d), load_tail(b + d, dim - d));
  return fold(lanes);
}

void canonical_rows(Term term, const float* query, const float* const* keys, const float* const*, int64_t dim,
                    double* sums) {
  for (int r = 0; r < kRowsPerCall; ++r)
    sums[r] = term == Term::product ? canonical_sum<Term::product>(query, keys[r], dim)
                                    : canonical_sum<Term::squared_difference>(query, keys[r], dim);
}

void canonical_squares(const float* const* rows, const float* const*, int64_t dim, double* sums) {
  for (int r = 0; r < kRowsPerCall; ++r) sums[r] = canonical_sum<Term::product>(rows[r], rows[r], dim);
}

template <int num_queries>
void dot_tile_of(const float* queries, const float* panel, int64_t dim, float* dots) {
  float32x4_t sums[num_queries][4];
  for (auto& sum : sums)
    for (auto& v : sum) v = vdupq_n_f32(0);
  for (int64_t d = 0; d < dim; ++d) {
    float32x4_t keys[4];
    for (int i = 0; i < 4; ++i) keys[i] = vld1q_f32(panel + d * kPanelKeys + 4 * i);
    for (int r = 0; r < num_queries; ++r) {
      const float32x4_t q = vdupq_n_f32(queries[d * num_queries + r]);
      for (int i = 0; i < 4; ++i) sums[r][i] = vfmaq_f32(sums[r][i], keys[i], q);
    }
  }
  for (int r = 0; r < num_queries; ++r)
    for (int i = 0; i < 4; ++i) vst1q_f32(dots + r * kPanelKeys + 4 * i, sums[r][i]);
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

extern const Primitives kNeon;
const Primitives kNeon = {"neon",
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
