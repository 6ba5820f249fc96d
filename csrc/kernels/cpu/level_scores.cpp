#include "kernels/cpu/level_scores.h"

#include <cstring>

#include "kernels/isa.h"

namespace fastret {

#if defined(__x86_64__)
void score_levels_avx2(const LevelTerms&, const uint8_t*, int64_t, int, float*);
void score_levels_avx512(const LevelTerms&, const uint8_t*, int64_t, int, float*);
#endif

namespace {

constexpr int kLanes = 8;

template <int bits>
int level_at(const uint8_t* code, int64_t d) {
  const int64_t bit = d * bits;
  const int low = code[bit / 8] >> (bit % 8);
  const bool in_two_bytes = bit % 8 + bits > 8;
  return (in_two_bytes ? low | code[bit / 8 + 1] << (8 - bit % 8) : low) & ((1 << bits) - 1);
}

template <int bits>
void score_levels_of(const LevelTerms& terms, const uint8_t* codes, int64_t row_bytes, int count,
                     float* sums) {
  for (int i = 0; i < count; ++i, codes += row_bytes) {
    float lanes[kLanes] = {};
    for (int64_t d = 0; d < terms.dim; ++d) {
      const float value = terms.steps[d] * float(level_at<bits>(codes, d));
      const float difference = terms.targets ? terms.targets[d] - value : 0;
      lanes[d % kLanes] += terms.targets ? difference * difference : value;
    }
    for (int half = kLanes / 2; half; half /= 2)
      for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
    sums[i] = lanes[0];
  }
}

void score_levels_scalar(const LevelTerms& terms, const uint8_t* codes, int64_t row_bytes, int count,
                         float* sums) {
  const auto score = terms.bits == 8   ? score_levels_of<8>
                     : terms.bits == 6 ? score_levels_of<6>
                                       : score_levels_of<4>;
  score(terms, codes, row_bytes, count, sums);
}

}  // namespace

ScoreLevels score_levels() {
#if defined(__x86_64__)
  const char* name = primitives().name;
  if (std::strncmp(name, "avx512", 6) == 0) return score_levels_avx512;
  if (std::strncmp(name, "avx2", 4) == 0) return score_levels_avx2;
#endif
  return score_levels_scalar;
}

}  // namespace fastret
