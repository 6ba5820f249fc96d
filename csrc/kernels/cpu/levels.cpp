#include "kernels/cpu/levels.h"

#include <cstring>

#include "kernels/isa.h"

namespace fastret {

#if defined(__x86_64__)
void decode_levels_avx2(const uint8_t*, int64_t, const LevelRange&, const float*, float*);
void decode_levels_avx512(const uint8_t*, int64_t, const LevelRange&, const float*, float*);
#endif

namespace {

void decode_levels_scalar(const uint8_t* levels, int64_t n, const LevelRange& range, const float* centroid,
                          float* target) {
  for (int64_t d = 0; d < n; ++d)
    target[d] = range.least[d] + (float(levels[d]) + 0.5f) / range.steps * range.width[d];
  for (int64_t d = 0; centroid && d < n; ++d) target[d] += centroid[d];
}

}  // namespace

DecodeLevels decode_levels() {
#if defined(__x86_64__)
  const char* name = primitives().name;
  if (std::strncmp(name, "avx512", 6) == 0) return decode_levels_avx512;
  if (std::strncmp(name, "avx2", 4) == 0) return decode_levels_avx2;
#endif
  return decode_levels_scalar;
}

}  // namespace fastret
