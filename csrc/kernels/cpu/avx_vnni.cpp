// The integer dot product tiles with AVX-VNNI, 256 bits wide. Intrinsics and C headers only: see
// kernels.cmake.
#include "kernels/cpu/avx2_tiles.h"

namespace fastret {

extern const Primitives kAvx2;

namespace {

struct Int16Step {
  static __m256i add(__m256i sum, __m256i keys, __m256i query) {
    return _mm256_dpwssd_avx_epi32(sum, keys, query);
  }
};

struct Int8Step {
  static __m256i add(__m256i sum, __m256i keys, __m256i query) {
    return _mm256_dpbusd_avx_epi32(sum, keys, query);
  }
};

}  // namespace

void dot_tile_avx2_vnni(FirstPass pass, const void* queries, int num_queries, const int32_t* start,
                        const void* panel, int64_t steps, void* dots) {
  if (pass == FirstPass::float32)
    return kAvx2.dot_tile(pass, queries, num_queries, start, panel, steps, dots);
  const auto tile = pass == FirstPass::int16 ? dot_tile_with<Int16Step> : dot_tile_with<Int8Step>;
  tile(queries, num_queries, start, panel, steps, dots);
}

}  // namespace fastret
