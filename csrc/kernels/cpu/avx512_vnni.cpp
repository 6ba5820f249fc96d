// The dot product tiles with AVX-512 VNNI. Intrinsics and C headers only: see kernels.cmake.
#include "kernels/cpu/avx512_tiles.h"

namespace fastret {
namespace {

struct Int16Step {
  static __m512i add(__m512i sum, __m512i keys, __m512i query) {
    return _mm512_dpwssd_epi32(sum, keys, query);
  }
};

struct Int8Step {
  static __m512i add(__m512i sum, __m512i keys, __m512i query) {
    return _mm512_dpbusd_epi32(sum, keys, query);
  }
};

}  // namespace

void dot_tile_avx512_vnni(FirstPass pass, const void* queries, int num_queries, const int32_t* start,
                          const void* panel, int64_t steps, void* dots) {
  const auto tile = pass == FirstPass::float32 ? dot_tile_with<FloatStep>
                    : pass == FirstPass::int16 ? dot_tile_with<Int16Step>
                                               : dot_tile_with<Int8Step>;
  tile(queries, num_queries, start, panel, steps, dots);
}

}  // namespace fastret
