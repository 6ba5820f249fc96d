// The dot product tiles of the NEON sets, over the instructions that multiply and add 4 bytes per lane.
// Intrinsics and C headers only: see kernels.cmake.
#pragma once
#include <arm_neon.h>

#include "kernels/isa.h"

namespace fastret {
namespace {

// A part of the panel at a time, of 32 registers: 5 x 4 accumulators, at most 4 panel vectors, 5 broadcasts,
// a product and what the step keeps.
constexpr int kTileQueries = 5;

template <class Step, int num_queries>
void dot_tile_of(const int32_t* queries, const int32_t* panel, int64_t steps, int32_t* dots) {
  using Sum = typename Step::Sum;
  constexpr int num_vectors = sizeof(int32x4_t) * 4 / sizeof(Sum);
  for (int first = 0; first < kPanelKeys; first += 4 * num_vectors) {
    Sum sums[num_queries][num_vectors] = {};
#pragma GCC unroll 1
    for (int64_t s = 0; s < steps; ++s) {
      int32x4_t keys[num_vectors];
#pragma GCC unroll 4
      for (int i = 0; i < num_vectors; ++i)
        keys[i] = Step::keys(vld1q_s32(panel + s * kPanelKeys + first + 4 * i));
#pragma GCC unroll 5
      for (int r = 0; r < num_queries; ++r) {
        const int32x4_t query = vdupq_n_s32(queries[s * num_queries + r]);
#pragma GCC unroll 4
        for (int i = 0; i < num_vectors; ++i) Step::add(sums[r][i], keys[i], query);
      }
    }
#pragma GCC unroll 5
    for (int r = 0; r < num_queries; ++r)
#pragma GCC unroll 4
      for (int i = 0; i < num_vectors; ++i)
        vst1q_s32(dots + r * kPanelKeys + first + 4 * i, Step::total(sums[r][i]));
  }
}

template <class Step>
void dot_tile_with(const void* queries, int num_queries, const void* panel, int64_t steps, void* dots) {
  using Tile = void (*)(const int32_t*, const int32_t*, int64_t, int32_t*);
  static constexpr Tile tiles[kTileQueries] = {dot_tile_of<Step, 1>, dot_tile_of<Step, 2>,
                                               dot_tile_of<Step, 3>, dot_tile_of<Step, 4>,
                                               dot_tile_of<Step, 5>};
  tiles[num_queries - 1](static_cast<const int32_t*>(queries), static_cast<const int32_t*>(panel), steps,
                         static_cast<int32_t*>(dots));
}

// Keys stored plus 128 as bytes, back to signed ones: then no sum of the query is to be taken off.
inline int32x4_t signed_keys(int32x4_t keys) {
  return veorq_s32(keys, vreinterpretq_s32_u8(vdupq_n_u8(0x80)));
}

}  // namespace
}  // namespace fastret
