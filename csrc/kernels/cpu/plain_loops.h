// Primitives whose plain loops serve every set that has no reason to write its own. Included by one
// translation unit per instruction set: internal linkage keeps each copy in its own.
#pragma once
#include <math.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/rotation.h"

namespace fastret {
namespace {

constexpr RotationSigns kSigns;

[[maybe_unused]] Centred centre_row(const float* row, double scale, const float* centre,
                                    const float* direction, int64_t dim, float* target) {
  Centred sums{0, 0};
  for (int64_t d = 0; d < dim; ++d) {
    target[d] = float(row[d] * scale - centre[d]);
    sums.square += double(target[d]) * target[d];
    sums.component += double(target[d]) * direction[d];
  }
  return sums;
}

[[maybe_unused]] void rotate_block(float* block, int64_t size) {
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

[[maybe_unused]] void rotate(float* row, int64_t dim) {
  for_each_block(dim, [&](int64_t offset) { rotate_block(row + offset, rotation_block(dim)); });
}

[[maybe_unused]] float largest(const float* row, int64_t dim) {
  float largest = 0;
  for (int64_t d = 0; d < dim; ++d) largest = fmaxf(largest, fabsf(row[d]));
  return largest;
}

[[maybe_unused]] Quantised quantise(FirstPass pass, const float* row, int64_t dim, float inverse_scale,
                                    int shift, void* target) {
  double residual_square = 0, norm_square = 0;
  for (int64_t d = 0; d < padded_dim(dim); ++d) {
    const float scaled = row[d] * inverse_scale, n = rintf(scaled);
    residual_square += double(scaled - n) * (scaled - n);
    norm_square += double(n) * n;
    if (pass == FirstPass::int16)
      static_cast<int16_t*>(target)[d] = int16_t(n);
    else
      static_cast<uint8_t*>(target)[d] = uint8_t(int(n) + shift);
  }
  return {float(residual_square), float(norm_square)};
}

[[maybe_unused]] void pack_panel(const int32_t* const* rows, int64_t steps, int32_t* panel) {
  for (int64_t s = 0; s < steps; ++s)
    for (int i = 0; i < kPanelKeys; ++i) panel[s * kPanelKeys + i] = rows[i][s];
}

[[maybe_unused]] void float_dot_tile(const float* queries, int num_queries, const float* panel, int64_t steps,
                                     float* dots) {
  for (int i = 0; i < num_queries * kPanelKeys; ++i) dots[i] = 0;
  for (int64_t s = 0; s < steps; ++s)
    for (int r = 0; r < num_queries; ++r)
      for (int i = 0; i < kPanelKeys; ++i)
        dots[r * kPanelKeys + i] += queries[s * num_queries + r] * panel[s * kPanelKeys + i];
}

// The sums of products of the elements that 4 bytes hold.
[[maybe_unused]] int32_t int16_products(const void* query, const void* key) {
  int16_t q[2], x[2];
  memcpy(q, query, 4);
  memcpy(x, key, 4);
  return q[0] * x[0] + q[1] * x[1];
}

[[maybe_unused]] int32_t int8_products(const void* query, const void* key) {
  int8_t q[4];
  uint8_t x[4];
  memcpy(q, query, 4);
  memcpy(x, key, 4);
  return q[0] * x[0] + q[1] * x[1] + q[2] * x[2] + q[3] * x[3];
}

[[maybe_unused]] void integer_dot_tile(FirstPass pass, const int32_t* queries, int num_queries,
                                       const int32_t* start, const int32_t* panel, int64_t steps,
                                       int32_t* dots) {
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

[[maybe_unused]] void filter_tile(bool integers, const void* dots, int num_queries, const QueryFacts* queries,
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
}  // namespace fastret
