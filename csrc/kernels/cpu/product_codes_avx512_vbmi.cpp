// The first pass over codes of 8 bits with AVX-512 VBMI, whose two-register permutation looks up 64 bytes in
// a table of 128. Intrinsics and C headers only: see kernels.cmake.
#include "kernels/cpu/product_codes_avx512.h"

namespace fastret {
namespace {

// Of so many times 64 rows.
template <int vectors>
void sum_bytes_of(const uint8_t* levels, const uint8_t* block, int64_t num_codes, uint16_t* target) {
  Sums sums[vectors];
  for (int64_t m = 0; m < num_codes; ++m) {
    __m512i table[4];
    for (int i = 0; i < 4; ++i) table[i] = _mm512_loadu_si512(levels + m * kLevels + 64 * i);
    for (int v = 0; v < vectors; ++v) {
      const __m512i codes = _mm512_loadu_si512(block + m * kBlockRows + 64 * v);
      const __m512i low = _mm512_permutex2var_epi8(table[0], codes, table[1]);
      const __m512i high = _mm512_permutex2var_epi8(table[2], codes, table[3]);
      sums[v].add(_mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high));
    }
  }
  for (int v = 0; v < vectors; ++v) sums[v].store(target + 64 * v);
}

void sum_bytes(const uint8_t* levels, const uint8_t* block, int64_t num_codes, int64_t num_rows,
               uint16_t* sums) {
  if (num_rows <= 64) return sum_bytes_of<1>(levels, block, num_codes, sums);
  if (num_rows <= 128) return sum_bytes_of<2>(levels, block, num_codes, sums);
  if (num_rows <= 192) return sum_bytes_of<3>(levels, block, num_codes, sums);
  sum_bytes_of<4>(levels, block, num_codes, sums);
}

}  // namespace

extern const CodePrimitives kAvx512VbmiCodes;
const CodePrimitives kAvx512VbmiCodes = {
    column_scores_avx512, nearest_column_avx512, extent_avx512,  quantise_avx512, transpose_avx512, sum_bytes,
    sum_nibbles_avx512,   score_nibbles_avx512,  at_most_avx512, reaching_avx512};

}  // namespace fastret
