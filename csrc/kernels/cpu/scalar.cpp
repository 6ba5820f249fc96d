// The primitives in plain C++: the definition that the other instruction sets agree with.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/canonical.h"
#include "kernels/half.h"
#include "kernels/isa.h"
#include "kernels/rotation.h"

namespace fastret {
namespace {

constexpr int kTileQueries = 4;
constexpr int kInt8QueryLevels = 127;

void widen(const void* source, DType dtype, int64_t n, float* target) {
  switch (dtype) {
    case DType::f32:
      std::memcpy(target, source, size_t(n) * sizeof(float));
      break;
    case DType::bf16:
      for (int64_t i = 0; i < n; ++i) target[i] = widen_bf16(static_cast<const uint16_t*>(source)[i]);
      break;
    case DType::f16:
      for (int64_t i = 0; i < n; ++i) target[i] = widen_f16(static_cast<const uint16_t*>(source)[i]);
      break;
  }
}

template <Term term>
double canonical_sum(const float* a, const float* b, int64_t dim) {
  double lanes[kCanonicalLanes] = {};
  for (int64_t first = 0; first < dim; first += kCanonicalLanes) {
    const int width = int(dim - first < kCanonicalLanes ? dim - first : kCanonicalLanes);
    for (int j = 0; j < width; ++j) {
      const double x = a[first + j], y = b[first + j];
      lanes[j] += term == Term::product ? x * y : (x - y) * (x - y);
    }
  }
  return fold_lanes(lanes);
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

constexpr RotationSigns kSigns;

Centred centre_row(const float* row, double scale, const float* centre, const float* direction, int64_t dim,
                   float* target) {
  Centred sums{0, 0};
  for (int64_t d = 0; d < dim; ++d) {
    target[d] = float(row[d] * scale - centre[d]);
    sums.square += double(target[d]) * target[d];
    sums.component += double(target[d]) * direction[d];
  }
  return sums;
}

void rotate_block(float* block, int64_t size) {
  float root = 1;
  while (root * root < float(size)) root *= 2;
  for (int64_t d = 0; d < size; ++d) block[d] *= kSigns.signs[d] / root;
  for (int64_t half = 1; half < size; half *= 2)
    for (int64_t d = 0; d < size; d += 2 * half)
      for (int64_t i = d; i < d + half; ++i) {
        const float a = block[i], b = block[i + half];
        block[i] = a + b;
        block[i + half] = a - b;
      }
}

void rotate(float* row, int64_t dim) {
  for_each_block(dim, [&](int64_t offset) { rotate_block(row + offset, rotation_block(dim)); });
}

float largest(const float* row, int64_t dim) {
  float largest = 0;
  for (int64_t d = 0; d < dim; ++d) largest = std::max(largest, std::abs(row[d]));
  return largest;
}

Quantised quantise(FirstPass pass, const float* row, int64_t dim, float inverse_scale, int shift,
                   void* target) {
  double residual_square = 0, norm_square = 0;
  for (int64_t d = 0; d < padded_dim(dim); ++d) {
    const float scaled = row[d] * inverse_scale, n = std::rint(scaled);
    residual_square += double(scaled - n) * (scaled - n);
    norm_square += double(n) * n;
    if (pass == FirstPass::int16)
      static_cast<int16_t*>(target)[d] = int16_t(n);
    else
      static_cast<uint8_t*>(target)[d] = uint8_t(int(n) + shift);
  }
  return {float(residual_square), float(norm_square)};
}

void pack_panel(const int32_t* const* rows, int64_t steps, int32_t* panel) {
  for (int64_t s = 0; s < steps; ++s)
    for (int i = 0; i < kPanelKeys; ++i) panel[s * kPanelKeys + i] = rows[i][s];
}

void float_dot_tile(const float* queries, int num_queries, const float* panel, int64_t steps, float* dots) {
  for (int i = 0; i < num_queries * kPanelKeys; ++i) dots[i] = 0;
  for (int64_t s = 0; s < steps; ++s)
    for (int r = 0; r < num_queries; ++r)
      for (int i = 0; i < kPanelKeys; ++i)
        dots[r * kPanelKeys + i] += queries[s * num_queries + r] * panel[s * kPanelKeys + i];
}

// The sums of products of the elements that 4 bytes hold.
int32_t int16_products(const void* query, const void* key) {
  int16_t q[2], x[2];
  std::memcpy(q, query, 4);
  std::memcpy(x, key, 4);
  return q[0] * x[0] + q[1] * x[1];
}

int32_t int8_products(const void* query, const void* key) {
  int8_t q[4];
  uint8_t x[4];
  std::memcpy(q, query, 4);
  std::memcpy(x, key, 4);
  return q[0] * x[0] + q[1] * x[1] + q[2] * x[2] + q[3] * x[3];
}

void integer_dot_tile(FirstPass pass, const int32_t* queries, int num_queries, const int32_t* start,
                      const int32_t* panel, int64_t steps, int32_t* dots) {
  for (int r = 0; r < num_queries; ++r)
    for (int i = 0; i < kPanelKeys; ++i) dots[r * kPanelKeys + i] = start[r];
  for (int64_t s = 0; s < steps; ++s)
    for (int r = 0; r < num_queries; ++r)
      for (int i = 0; i < kPanelKeys; ++i) {
        const int32_t* query = queries + s * num_queries + r;
        const int32_t* key = panel + s * kPanelKeys + i;
        dots[r * kPanelKeys + i] +=
            pass == FirstPass::int16 ? int16_products(query, key) : int8_products(query, key);
      }
}

void dot_tile(FirstPass pass, const void* queries, int num_queries, const int32_t* start, const void* panel,
              int64_t steps, void* dots) {
  if (pass == FirstPass::float32)
    float_dot_tile(static_cast<const float*>(queries), num_queries, static_cast<const float*>(panel), steps,
                   static_cast<float*>(dots));
  else
    integer_dot_tile(pass, static_cast<const int32_t*>(queries), num_queries, start,
                     static_cast<const int32_t*>(panel), steps, static_cast<int32_t*>(dots));
}

// A product sum in 16 float32 lanes.
float lane_dot(const float* a, const float* b, int64_t dim) {
  float lanes[16] = {};
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16)
    for (int j = 0; j < 16; ++j) lanes[j] += a[d + j] * b[d + j];
  for (int j = 0; d + j < dim; ++j) lanes[j] += a[d + j] * b[d + j];
  for (int half = 8; half; half /= 2)
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  return lanes[0];
}

void row_tile(const float* const* queries, int num_queries, const float* const* keys, int64_t dim,
              float* dots, float* squares) {
  for (int i = 0; i < kPanelKeys; ++i) {
    squares[i] = lane_dot(keys[i], keys[i], dim);
    for (int r = 0; r < num_queries; ++r) dots[r * kPanelKeys + i] = lane_dot(queries[r], keys[i], dim);
  }
}

void filter_tile(bool integers, const void* dots, int num_queries, const QueryFacts* queries,
                 const KeyFacts& keys, uint32_t allowed, uint32_t first_place, Sink* sinks) {
  for (int r = 0; r < num_queries; ++r) {
    const QueryFacts& q = queries[r];
    Sink& sink = sinks[r];
    for (int i = 0; i < kPanelKeys; ++i) {
      const int at = r * kPanelKeys + i;
      const float dot =
          integers ? float(static_cast<const int32_t*>(dots)[at]) : static_cast<const float*>(dots)[at];
      const float error = q.norm * keys.residual[i] + (q.residual * keys.norm[i] + keys.offset[i]);
      const float upper = dot * keys.scale[i] * q.scale + (q.component * keys.component[i] + error);
      if (upper >= sink.threshold && (allowed >> i & 1)) {
        sink.uppers[sink.count] = upper;
        sink.places[sink.count++] = first_place + uint32_t(i);
      }
    }
  }
}

}  // namespace

extern const Primitives kScalar;
const Primitives kScalar = {"scalar",
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
