// Hamming distances with AVX2. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/hamming_rows.h"

namespace fastret {
namespace {

constexpr int kVectors = 4;            // of 4 keys each that are in flight
constexpr int64_t kWordsOfBytes = 31;  // each adds at most 8 to a byte

// The bits set in each byte: those of its halves are looked up.
__m256i bits_of_bytes(__m256i v) {
  const __m256i bits_of_half = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                                0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i half = _mm256_set1_epi8(15);
  const __m256i low = _mm256_and_si256(v, half), high = _mm256_and_si256(_mm256_srli_epi16(v, 4), half);
  return _mm256_add_epi8(_mm256_shuffle_epi8(bits_of_half, low), _mm256_shuffle_epi8(bits_of_half, high));
}

int64_t nearer(const uint64_t* query, const uint64_t* planes, int64_t words, int64_t panels, int32_t limit,
               HammingHit* hits) {
  const __m256i limits = _mm256_set1_epi64x(limit), zero = _mm256_setzero_si256();
  int64_t count = 0;
  for (int64_t group = 0; group < panels * 2; ++group) {  // of 16 keys, half a panel
    const uint64_t* keys = planes + group / 2 * words * kPanelKeys + group % 2 * 4 * kVectors;
    __m256i sums[kVectors] = {zero, zero, zero, zero};
    for (int64_t w = 0; w < words;) {
      __m256i bytes[kVectors] = {zero, zero, zero, zero};
      for (const int64_t end = words - w < kWordsOfBytes ? words : w + kWordsOfBytes; w < end; ++w) {
        const __m256i q = _mm256_set1_epi64x(int64_t(query[w]));
        for (int v = 0; v < kVectors; ++v) {
          const __m256i x =
              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + w * kPanelKeys + 4 * v));
          bytes[v] = _mm256_add_epi8(bytes[v], bits_of_bytes(_mm256_xor_si256(x, q)));
        }
      }
      for (int v = 0; v < kVectors; ++v) sums[v] = _mm256_add_epi64(sums[v], _mm256_sad_epu8(bytes[v], zero));
    }
    unsigned below = 0;
    for (int v = 0; v < kVectors; ++v)
      below |= unsigned(_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(limits, sums[v]))))
               << 4 * v;
    if (!below) continue;
    alignas(32) int64_t distances[4 * kVectors];
    for (int v = 0; v < kVectors; ++v)
      _mm256_store_si256(reinterpret_cast<__m256i*>(distances + 4 * v), sums[v]);
    for (; below; below &= below - 1) {
      const int i = __builtin_ctz(below);
      hits[count++] = {int32_t(group * 4 * kVectors + i), int32_t(distances[i])};
    }
  }
  return count;
}

}  // namespace

extern const HammingKernel kHammingAvx2;
const HammingKernel kHammingAvx2 = {hamming_pack_scalar, nearer, nearer_rows};

}  // namespace fastret
