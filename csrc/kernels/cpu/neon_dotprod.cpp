// The int8 dot product tiles with the dot product extension of AArch64. Intrinsics and C headers only: see
// kernels.cmake.
#include "kernels/cpu/neon_tiles.h"

namespace fastret {

extern const Primitives kNeon;

namespace {

struct Int8Step {
  using Sum = int32x4_t;
  static int32x4_t keys(int32x4_t stored) { return signed_keys(stored); }
  static void add(Sum& sum, int32x4_t keys, int32x4_t query) {
    sum = vdotq_s32(sum, vreinterpretq_s8_s32(keys), vreinterpretq_s8_s32(query));
  }
  static int32x4_t total(Sum sum) { return sum; }
};

}  // namespace

void dot_tile_neon_dotprod(FirstPass pass, const void* queries, int num_queries, const int32_t* start,
                           const void* panel, int64_t steps, void* dots) {
  if (pass != FirstPass::int8) return kNeon.dot_tile(pass, queries, num_queries, start, panel, steps, dots);
  dot_tile_with<Int8Step>(queries, num_queries, panel, steps, dots);
}

}  // namespace fastret
