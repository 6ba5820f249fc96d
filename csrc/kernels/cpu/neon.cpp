// NEON on AArch64. Intrinsics and C headers only: see kernels.cmake.
#include "kernels/cpu/neon_tiles.h"
#include "kernels/rotation.h"

namespace fastret {
namespace {

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
double canonical_sum(const float* a, const float* b, const float* next, int64_t dim) {
  Lanes lanes = zero_lanes();
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16) {
    if (next) __builtin_prefetch(next + d);
    add_term<term>(lanes, load_lanes(a + d), load_lanes(b + d));
  }
  if (d < dim) add_term<term>(lanes, load_tail(a + d, dim - d), load_tail(b + d, dim - d));
  return fold(lanes);
}

void canonical_rows(Term term, const float* query, const float* const* keys, const float* const* next,
                    int64_t dim, double* sums) {
  const auto sum =
      term == Term::product ? canonical_sum<Term::product> : canonical_sum<Term::squared_difference>;
  for (int r = 0; r < kRowsPerCall; ++r) sums[r] = sum(query, keys[r], next ? next[r] : nullptr, dim);
}

void canonical_squares(const float* const* rows, const float* const* next, int64_t dim, double* sums) {
  for (int r = 0; r < kRowsPerCall; ++r)
    sums[r] = canonical_sum<Term::product>(rows[r], rows[r], next ? next[r] : nullptr, dim);
}

Centred centre_row(const float* row, double scale, const float* centre, const float* direction, int64_t dim,
                   float* target) {
  Lanes square = zero_lanes(), component = zero_lanes();
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16) {
    const Lanes x = load_lanes(row + d), c = load_lanes(centre + d);
    for (int i = 0; i < 8; ++i)
      vst1_f32(target + d + 2 * i, vcvt_f32_f64(vsubq_f64(vmulq_n_f64(x.v[i], scale), c.v[i])));
    const Lanes t = load_lanes(target + d);
    add_term<Term::product>(square, t, t);
    add_term<Term::product>(component, t, load_lanes(direction + d));
  }
  Centred sums{fold(square), fold(component)};
  for (; d < dim; ++d) {
    const double rounded = target[d] = float(row[d] * scale - centre[d]);
    sums.square += rounded * rounded;
    sums.component += rounded * direction[d];
  }
  return sums;
}

constexpr RotationSigns kSigns;

// The butterflies within 4 elements.
float32x4_t rotate_lanes(float32x4_t v) {
  const float32x4_t ones = {1, -1, 1, -1}, twos = {1, 1, -1, -1};
  v = vfmaq_f32(vrev64q_f32(v), v, ones);
  return vfmaq_f32(vextq_f32(v, v, 2), v, twos);
}

// The butterflies among vectors that lie `apart` elements from each other.
template <int num_vectors, int apart>
void rotate_across(float* block) {
  float32x4_t v[num_vectors];
#pragma GCC unroll 16
  for (int i = 0; i < num_vectors; ++i) v[i] = vld1q_f32(block + apart * i);
#pragma GCC unroll 4
  for (int half = 1; half < num_vectors; half *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < num_vectors; ++i) {
      if (i & half) continue;
      const float32x4_t a = v[i], b = v[i + half];
      v[i] = vaddq_f32(a, b);
      v[i + half] = vsubq_f32(a, b);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < num_vectors; ++i) vst1q_f32(block + apart * i, v[i]);
}

template <int size>
void rotate_block(float* block) {
  constexpr float root = size == 256 ? 16 : size == 64 ? 8 : size == 16 ? 4 : 2;
  for (int d = 0; d < size; d += 4) {
    const float32x4_t sign = vmulq_n_f32(vld1q_f32(kSigns.signs + d), 1 / root);
    vst1q_f32(block + d, rotate_lanes(vmulq_f32(vld1q_f32(block + d), sign)));
  }
  if constexpr (size == 16) rotate_across<4, 4>(block);
  for (int d = 0; d + 64 <= size; d += 64) rotate_across<16, 4>(block + d);
  if constexpr (size == 256)
    for (int d = 0; d < 64; d += 4) rotate_across<4, 64>(block + d);
}

void rotate(float* row, int64_t dim) {
  switch (rotation_block(dim)) {
    case 256:
      return for_each_block(dim, [&](int64_t offset) { rotate_block<256>(row + offset); });
    case 64:
      return for_each_block(dim, [&](int64_t offset) { rotate_block<64>(row + offset); });
    case 16:
      return for_each_block(dim, [&](int64_t offset) { rotate_block<16>(row + offset); });
    default:
      return for_each_block(dim, [&](int64_t offset) { rotate_block<4>(row + offset); });
  }
}

float largest(const float* row, int64_t dim) {
  float32x4_t largest = vdupq_n_f32(0);
  for (int64_t d = 0; d < dim; d += 4) largest = vmaxq_f32(largest, vabsq_f32(vld1q_f32(row + d)));
  return vmaxvq_f32(largest);
}

Quantised quantise(FirstPass pass, const float* row, int64_t dim, float inverse_scale, int shift,
                   void* target) {
  const int16x8_t shifts = vdupq_n_s16(int16_t(shift));
  float32x4_t residual_square[4], norm_square[4];
  for (int i = 0; i < 4; ++i) residual_square[i] = norm_square[i] = vdupq_n_f32(0);
  for (int64_t d = 0; d < dim; d += 16) {
    int32x4_t n[4];
    for (int i = 0; i < 4; ++i) {
      const float32x4_t scaled = vmulq_n_f32(vld1q_f32(row + d + 4 * i), inverse_scale);
      n[i] = vcvtnq_s32_f32(scaled);  // to nearest, ties to even
      const float32x4_t rounded = vcvtq_f32_s32(n[i]), residual = vsubq_f32(scaled, rounded);
      residual_square[i] = vfmaq_f32(residual_square[i], residual, residual);
      norm_square[i] = vfmaq_f32(norm_square[i], rounded, rounded);
    }
    const int16x8_t low = vcombine_s16(vmovn_s32(n[0]), vmovn_s32(n[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32(n[2]), vmovn_s32(n[3]));
    if (pass == FirstPass::int16) {
      vst1q_s16(static_cast<int16_t*>(target) + d, low);
      vst1q_s16(static_cast<int16_t*>(target) + d + 8, high);
    } else {
      vst1q_s8(static_cast<int8_t*>(target) + d,
               vcombine_s8(vmovn_s16(vaddq_s16(low, shifts)), vmovn_s16(vaddq_s16(high, shifts))));
    }
  }
  const auto total = [](const float32x4_t* sums) {
    return vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
  };
  return {total(residual_square), total(norm_square)};
}

// target[j * kPanelKeys + i] = rows[i][first + j] for a 4 x 4 block.
void transpose_4(const int32_t* const* rows, int64_t first, int32_t* target) {
  const int32x4_t a = vld1q_s32(rows[0] + first), b = vld1q_s32(rows[1] + first);
  const int32x4_t c = vld1q_s32(rows[2] + first), d = vld1q_s32(rows[3] + first);
  const int32x4x2_t even = vzipq_s32(a, c), odd = vzipq_s32(b, d);
  const int32x4x2_t low = vzipq_s32(even.val[0], odd.val[0]), high = vzipq_s32(even.val[1], odd.val[1]);
  vst1q_s32(target, low.val[0]);
  vst1q_s32(target + kPanelKeys, low.val[1]);
  vst1q_s32(target + 2 * kPanelKeys, high.val[0]);
  vst1q_s32(target + 3 * kPanelKeys, high.val[1]);
}

void pack_panel(const int32_t* const* rows, int64_t steps, int32_t* panel) {
  int64_t s = 0;
  for (; s + 4 <= steps; s += 4)
    for (int i = 0; i < kPanelKeys; i += 4) transpose_4(rows + i, s, panel + s * kPanelKeys + i);
  for (; s < steps; ++s)
    for (int i = 0; i < kPanelKeys; ++i) panel[s * kPanelKeys + i] = rows[i][s];
}

struct FloatStep {
  using Sum = float32x4_t;
  static int32x4_t keys(int32x4_t stored) { return stored; }
  static void add(Sum& sum, int32x4_t keys, int32x4_t query) {
    sum = vfmaq_f32(sum, vreinterpretq_f32_s32(keys), vreinterpretq_f32_s32(query));
  }
  static int32x4_t total(Sum sum) { return vreinterpretq_s32_f32(sum); }
};

// Two sums for each of 4 keys, which the end adds up.
struct HalfSums {
  int32x4_t low, high;
};

int32x4_t total_of(const HalfSums& sums) {
  return vpaddq_s32(sums.low, sums.high);
}

struct Int16Step {
  using Sum = HalfSums;
  static int32x4_t keys(int32x4_t stored) { return stored; }
  static void add(Sum& sum, int32x4_t keys, int32x4_t query) {
    const int16x8_t x = vreinterpretq_s16_s32(keys), q = vreinterpretq_s16_s32(query);
    sum.low = vmlal_s16(sum.low, vget_low_s16(x), vget_low_s16(q));
    sum.high = vmlal_high_s16(sum.high, x, q);
  }
  static int32x4_t total(const Sum& sum) { return total_of(sum); }
};

struct Int8Step {
  using Sum = HalfSums;
  static int32x4_t keys(int32x4_t stored) { return signed_keys(stored); }
  static void add(Sum& sum, int32x4_t keys, int32x4_t query) {
    const int8x16_t x = vreinterpretq_s8_s32(keys), q = vreinterpretq_s8_s32(query);
    sum.low = vpadalq_s16(sum.low, vmull_s8(vget_low_s8(x), vget_low_s8(q)));
    sum.high = vpadalq_s16(sum.high, vmull_high_s8(x, q));
  }
  static int32x4_t total(const Sum& sum) { return total_of(sum); }
};

void dot_tile(FirstPass pass, const void* queries, int num_queries, const int32_t*, const void* panel,
              int64_t steps, void* dots) {
  const auto tile = pass == FirstPass::float32 ? dot_tile_with<FloatStep>
                    : pass == FirstPass::int16 ? dot_tile_with<Int16Step>
                                               : dot_tile_with<Int8Step>;
  tile(queries, num_queries, panel, steps, dots);
}

template <bool integers>
void filter_tile_of(const void* dots, int num_queries, const QueryFacts* queries, const KeyFacts& keys,
                    uint32_t allowed, uint32_t first_place, Sink* sinks) {
  const uint32x4_t bits = {1, 2, 4, 8};
  for (int r = 0; r < num_queries; ++r) {
    const QueryFacts& query = queries[r];
    Sink& sink = sinks[r];
    const float32x4_t threshold = vdupq_n_f32(sink.threshold);
    float uppers[kPanelKeys];
    uint32_t kept = 0;
    for (int i = 0; i < kPanelKeys; i += 4) {
      const int32x4_t raw = vld1q_s32(static_cast<const int32_t*>(dots) + r * kPanelKeys + i);
      const float32x4_t dot = integers ? vcvtq_f32_s32(raw) : vreinterpretq_f32_s32(raw);
      float32x4_t error = vfmaq_n_f32(vld1q_f32(keys.offset + i), vld1q_f32(keys.norm + i), query.residual);
      error = vfmaq_n_f32(error, vld1q_f32(keys.residual + i), query.norm);
      error = vfmaq_n_f32(error, vld1q_f32(keys.component + i), query.component);
      const float32x4_t upper = vfmaq_n_f32(error, vmulq_f32(dot, vld1q_f32(keys.scale + i)), query.scale);
      vst1q_f32(uppers + i, upper);
      kept |= vaddvq_u32(vandq_u32(vcgeq_f32(upper, threshold), bits)) << i;
    }
    for (kept &= allowed; kept; kept &= kept - 1) {
      const uint32_t i = uint32_t(__builtin_ctz(kept));
      sink.uppers[sink.count] = uppers[i];
      sink.places[sink.count++] = first_place + i;
    }
  }
}

void filter_tile(bool integers, const void* dots, int num_queries, const QueryFacts* queries,
                 const KeyFacts& keys, uint32_t allowed, uint32_t first_place, Sink* sinks) {
  (integers ? filter_tile_of<true> : filter_tile_of<false>)(dots, num_queries, queries, keys, allowed,
                                                            first_place, sinks);
}

// Four queries and four keys at a time: 16 sums, 4 squares, 4 keys and a query take 25 of 32 registers.
constexpr int kRowQueries = 4, kRowKeys = 4;

float sum_of(float32x4_t v) {
  return vaddvq_f32(v);
}

template <int num_queries>
void row_tile_of(const float* const* queries, const float* const* keys, int64_t dim, float* dots,
                 float* squares) {
  float32x4_t sums[num_queries][kRowKeys], square_sums[kRowKeys];
  for (auto& row : sums)
    for (auto& sum : row) sum = vdupq_n_f32(0);
  for (auto& sum : square_sums) sum = vdupq_n_f32(0);
  int64_t d = 0;
  for (; d + 4 <= dim; d += 4) {
    float32x4_t x[kRowKeys];
    for (int i = 0; i < kRowKeys; ++i) {
      x[i] = vld1q_f32(keys[i] + d);
      square_sums[i] = vfmaq_f32(square_sums[i], x[i], x[i]);
    }
    for (int r = 0; r < num_queries; ++r) {
      const float32x4_t q = vld1q_f32(queries[r] + d);
      for (int i = 0; i < kRowKeys; ++i) sums[r][i] = vfmaq_f32(sums[r][i], x[i], q);
    }
  }
  for (int i = 0; i < kRowKeys; ++i) {
    squares[i] = sum_of(square_sums[i]);
    for (int r = 0; r < num_queries; ++r) dots[r * kPanelKeys + i] = sum_of(sums[r][i]);
    for (int64_t e = d; e < dim; ++e) {
      squares[i] += keys[i][e] * keys[i][e];
      for (int r = 0; r < num_queries; ++r) dots[r * kPanelKeys + i] += queries[r][e] * keys[i][e];
    }
  }
}

void row_tile(const float* const* queries, int num_queries, const float* const* keys, int64_t dim,
              float* dots, float* squares) {
  using Tile = void (*)(const float* const*, const float* const*, int64_t, float*, float*);
  static constexpr Tile tiles[kRowQueries] = {row_tile_of<1>, row_tile_of<2>, row_tile_of<3>, row_tile_of<4>};
  for (int i = 0; i < kPanelKeys; i += kRowKeys)
    for (int r = 0; r < num_queries; r += kRowQueries) {
      const int size = num_queries - r < kRowQueries ? num_queries - r : kRowQueries;
      tiles[size - 1](queries + r, keys + i, dim, dots + r * kPanelKeys + i, squares + i);
    }
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
                          row_tile,
                          filter_tile};

}  // namespace fastret
