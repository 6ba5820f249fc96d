// AVX2 with FMA and F16C. Intrinsics and C headers only: see kernels.cmake.
#include "kernels/cpu/avx2_tiles.h"
#include "kernels/rotation.h"

namespace fastret {
namespace {

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

void prefetch(const float* row, int64_t d) {
  _mm_prefetch(reinterpret_cast<const char*>(row + d), _MM_HINT_T0);
}

// Two rows at a time: eight accumulators stay in registers.
template <Term term>
void canonical_pair(const float* query, const float* const* keys, const float* const* next, int64_t dim,
                    double* sums) {
  Lanes a = zero_lanes(), b = zero_lanes();
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16) {
    if (next) {
      prefetch(next[0], d);
      prefetch(next[1], d);
    }
    const Lanes q = load_lanes(query + d);
    add_term<term>(a, q, load_lanes(keys[0] + d));
    add_term<term>(b, q, load_lanes(keys[1] + d));
  }
  if (d < dim) {
    const Lanes q = load_tail(query + d, dim - d);
    add_term<term>(a, q, load_tail(keys[0] + d, dim - d));
    add_term<term>(b, q, load_tail(keys[1] + d, dim - d));
  }
  sums[0] = fold(a);
  sums[1] = fold(b);
}

void canonical_rows(Term term, const float* query, const float* const* keys, const float* const* next,
                    int64_t dim, double* sums) {
  const auto pair =
      term == Term::product ? canonical_pair<Term::product> : canonical_pair<Term::squared_difference>;
  for (int r = 0; r < kRowsPerCall; r += 2) pair(query, keys + r, next ? next + r : nullptr, dim, sums + r);
}

void canonical_squares(const float* const* rows, const float* const* next, int64_t dim, double* sums) {
  for (int r = 0; r < kRowsPerCall; ++r) {
    Lanes square = zero_lanes();
    int64_t d = 0;
    for (; d + 16 <= dim; d += 16) {
      if (next) prefetch(next[r], d);
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

Centred centre_row(const float* row, double scale, const float* centre, const float* direction, int64_t dim,
                   float* target) {
  const __m256d factor = _mm256_set1_pd(scale);
  Lanes square = zero_lanes(), component = zero_lanes();
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16) {
    const Lanes x = load_lanes(row + d), c = load_lanes(centre + d);
    Lanes t;
    for (int i = 0; i < 4; ++i) {
      const __m128 rounded = _mm256_cvtpd_ps(_mm256_fmsub_pd(x.v[i], factor, c.v[i]));
      _mm_storeu_ps(target + d + 4 * i, rounded);
      t.v[i] = _mm256_cvtps_pd(rounded);
    }
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

// a + b where `minus` is +0, b - a where it is -0.
__m256 add_or_subtract(__m256 a, __m256 b, __m256 minus) {
  return _mm256_add_ps(_mm256_xor_ps(a, minus), b);
}

// The butterflies within 8 elements.
__m256 rotate_lanes(__m256 v) {
  const __m256 ones = _mm256_setr_ps(0, -0.0f, 0, -0.0f, 0, -0.0f, 0, -0.0f);
  const __m256 twos = _mm256_setr_ps(0, 0, -0.0f, -0.0f, 0, 0, -0.0f, -0.0f);
  const __m256 fours = _mm256_setr_ps(0, 0, 0, 0, -0.0f, -0.0f, -0.0f, -0.0f);
  v = add_or_subtract(v, _mm256_permute_ps(v, 0xb1), ones);
  v = add_or_subtract(v, _mm256_permute_ps(v, 0x4e), twos);
  return add_or_subtract(v, _mm256_permute2f128_ps(v, v, 0x01), fours);
}

// The butterflies among vectors that lie `apart` elements from each other.
template <int num_vectors, int apart>
void rotate_across(float* block) {
  __m256 v[num_vectors];
#pragma GCC unroll 8
  for (int i = 0; i < num_vectors; ++i) v[i] = _mm256_loadu_ps(block + apart * i);
#pragma GCC unroll 3
  for (int half = 1; half < num_vectors; half *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < num_vectors; ++i) {
      if (i & half) continue;
      const __m256 a = v[i], b = v[i + half];
      v[i] = _mm256_add_ps(a, b);
      v[i + half] = _mm256_sub_ps(a, b);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < num_vectors; ++i) _mm256_storeu_ps(block + apart * i, v[i]);
}

template <int size>
void rotate_block(float* block) {
  const __m256 scale = _mm256_set1_ps(1.0f / (size == 256 ? 16 : size == 64 ? 8 : 4));
  for (int d = 0; d < size; d += 8) {
    const __m256 sign = _mm256_mul_ps(_mm256_loadu_ps(kSigns.signs + d), scale);
    _mm256_storeu_ps(block + d, rotate_lanes(_mm256_mul_ps(_mm256_loadu_ps(block + d), sign)));
  }
  if constexpr (size == 16) return rotate_across<2, 8>(block);
  for (int d = 0; d < size; d += 64) rotate_across<8, 8>(block + d);
  if constexpr (size == 256)
    for (int d = 0; d < 64; d += 8) rotate_across<4, 64>(block + d);
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
      return for_each_block(dim, [&](int64_t offset) { rotate_block<256>(row + offset); });
    case 64:
      return for_each_block(dim, [&](int64_t offset) { rotate_block<64>(row + offset); });
    case 16:
      return for_each_block(dim, [&](int64_t offset) { rotate_block<16>(row + offset); });
    default:
      return for_each_block(dim, [&](int64_t offset) { rotate_block_of_4(row + offset); });
  }
}

float largest(const float* row, int64_t dim) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 largest = _mm256_setzero_ps();
  for (int64_t d = 0; d < dim; d += 8)
    largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, _mm256_loadu_ps(row + d)));
  float lanes[8], result = 0;
  _mm256_storeu_ps(lanes, largest);
  for (const float lane : lanes) result = lane > result ? lane : result;
  return result;
}

// Integers beside the sums of 8 lanes that they add to.
struct Rounded {
  __m256i n;
  __m256 residual_square, norm_square;

  void round(__m256 scaled) {
    n = _mm256_cvtps_epi32(scaled);
    const __m256 rounded = _mm256_cvtepi32_ps(n), residual = _mm256_sub_ps(scaled, rounded);
    residual_square = _mm256_fmadd_ps(residual, residual, residual_square);
    norm_square = _mm256_fmadd_ps(rounded, rounded, norm_square);
  }
};

Quantised quantise(FirstPass pass, const float* row, int64_t dim, float inverse_scale, int shift,
                   void* target) {
  const __m256 inverse = _mm256_set1_ps(inverse_scale), zero = _mm256_setzero_ps();
  const __m256i shifts = _mm256_set1_epi16(int16_t(shift)), byte = _mm256_set1_epi16(0xff);
  Rounded low{_mm256_setzero_si256(), zero, zero}, high = low;
  for (int64_t d = 0; d < dim; d += 16) {
    low.round(_mm256_mul_ps(_mm256_loadu_ps(row + d), inverse));
    high.round(_mm256_mul_ps(_mm256_loadu_ps(row + d + 8), inverse));
    // The halves of both come out as low, high, low, high.
    const __m256i n = _mm256_permute4x64_epi64(_mm256_packs_epi32(low.n, high.n), 0xd8);
    if (pass == FirstPass::int16) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(static_cast<int16_t*>(target) + d), n);
    } else {
      const __m256i bytes = _mm256_and_si256(_mm256_add_epi16(n, shifts), byte);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(static_cast<uint8_t*>(target) + d),
                       _mm_packus_epi16(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)));
    }
  }
  return {sum_of(_mm256_add_ps(low.residual_square, high.residual_square)),
          sum_of(_mm256_add_ps(low.norm_square, high.norm_square))};
}

// target[j * kPanelKeys + i] = rows[i][first + j] for an 8 x 8 block.
void transpose_8(const int32_t* const* rows, int64_t first, int32_t* target) {
  __m256 r[8], t[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(reinterpret_cast<const float*>(rows[i] + first));
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    float* step = reinterpret_cast<float*>(target + i * kPanelKeys);
    _mm256_storeu_ps(step, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(step + 4 * kPanelKeys, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

void pack_panel(const int32_t* const* rows, int64_t steps, int32_t* panel) {
  int64_t s = 0;
  for (; s + 8 <= steps; s += 8)
    for (int i = 0; i < kPanelKeys; i += 8) transpose_8(rows + i, s, panel + s * kPanelKeys + i);
  for (; s < steps; ++s)
    for (int i = 0; i < kPanelKeys; ++i) panel[s * kPanelKeys + i] = rows[i][s];
}

struct FloatStep {
  static __m256i add(__m256i sum, __m256i keys, __m256i query) {
    return _mm256_castps_si256(
        _mm256_fmadd_ps(_mm256_castsi256_ps(keys), _mm256_castsi256_ps(query), _mm256_castsi256_ps(sum)));
  }
};

struct Int16Step {
  static __m256i add(__m256i sum, __m256i keys, __m256i query) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(keys, query));
  }
};

// Two products of a key byte (up to 255) and a query element (up to 64) fit an int16.
constexpr int kInt8QueryLevels = 64;

struct Int8Step {
  static __m256i add(__m256i sum, __m256i keys, __m256i query) {
    const __m256i pairs = _mm256_maddubs_epi16(keys, query);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

void dot_tile(FirstPass pass, const void* queries, int num_queries, const int32_t* start, const void* panel,
              int64_t steps, void* dots) {
  const auto tile = pass == FirstPass::float32 ? dot_tile_with<FloatStep>
                    : pass == FirstPass::int16 ? dot_tile_with<Int16Step>
                                               : dot_tile_with<Int8Step>;
  tile(queries, num_queries, start, panel, steps, dots);
}

template <bool integers>
void filter_tile_of(const void* dots, int num_queries, const QueryFacts* queries, const KeyFacts& keys,
                    uint32_t allowed, uint32_t first_place, Sink* sinks) {
  for (int r = 0; r < num_queries; ++r) {
    const QueryFacts& query = queries[r];
    Sink& sink = sinks[r];
    const __m256 scale = _mm256_set1_ps(query.scale), residual = _mm256_set1_ps(query.residual);
    const __m256 norm = _mm256_set1_ps(query.norm), component = _mm256_set1_ps(query.component);
    const __m256 threshold = _mm256_set1_ps(sink.threshold);
    float uppers[kPanelKeys];
    uint32_t kept = 0;
#pragma GCC unroll 4
    for (int i = 0; i < kPanelKeys; i += 8) {
      const __m256i raw = _mm256_loadu_si256(
          reinterpret_cast<const __m256i*>(static_cast<const int32_t*>(dots) + r * kPanelKeys + i));
      const __m256 dot = integers ? _mm256_cvtepi32_ps(raw) : _mm256_castsi256_ps(raw);
      __m256 error =
          _mm256_fmadd_ps(residual, _mm256_loadu_ps(keys.norm + i), _mm256_loadu_ps(keys.offset + i));
      error = _mm256_fmadd_ps(norm, _mm256_loadu_ps(keys.residual + i), error);
      error = _mm256_fmadd_ps(component, _mm256_loadu_ps(keys.component + i), error);
      const __m256 upper = _mm256_fmadd_ps(_mm256_mul_ps(dot, _mm256_loadu_ps(keys.scale + i)), scale, error);
      _mm256_storeu_ps(uppers + i, upper);
      kept |= uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(upper, threshold, _CMP_GE_OQ))) << i;
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

extern const Primitives kAvx2;
const Primitives kAvx2 = {"avx2",
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
