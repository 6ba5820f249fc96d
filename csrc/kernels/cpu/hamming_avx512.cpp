// Hamming distances with AVX-512 VPOPCNTDQ. Intrinsics and C headers only: see kernels.cmake.
#include <immintrin.h>

#include "kernels/cpu/hamming_rows.h"

namespace fastret {
namespace {

constexpr int kVectors = kPanelKeys / 8;

// rows[i][w] becomes rows[w][i].
void transpose(__m512i rows[8]) {
  __m512i pairs[8], quads[8];
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm512_unpacklo_epi64(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi64(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      quads[i + j] = _mm512_shuffle_i64x2(pairs[i + j], pairs[i + j + 2], 0x88);
      quads[i + j + 2] = _mm512_shuffle_i64x2(pairs[i + j], pairs[i + j + 2], 0xdd);
    }
  for (int j = 0; j < 4; ++j) {
    rows[j] = _mm512_shuffle_i64x2(quads[j], quads[j + 4], 0x88);
    rows[j + 4] = _mm512_shuffle_i64x2(quads[j], quads[j + 4], 0xdd);
  }
}

void pack_panel(const uint8_t* codes, int64_t bytes, uint64_t* panel) {
  const int64_t words = hamming_words(bytes);
  for (int64_t w = 0; w < words; w += 8) {
    const int64_t width = bytes - 8 * w < 64 ? bytes - 8 * w : 64;
    const __mmask64 used = ~uint64_t(0) >> (64 - width);
    for (int first = 0; first < kPanelKeys; first += 8) {
      __m512i rows[8];
      for (int i = 0; i < 8; ++i)
        rows[i] = _mm512_maskz_mov_epi8(used, _mm512_loadu_si512(codes + (first + i) * bytes + 8 * w));
      transpose(rows);
      for (int64_t j = 0; j < 8 && w + j < words; ++j)
        _mm512_storeu_si512(panel + (w + j) * kPanelKeys + first, rows[j]);
    }
  }
}

void pack(const uint8_t* codes, int64_t count, int64_t bytes, uint64_t* planes) {
  const int64_t words = hamming_words(bytes), read_bytes = (bytes + 63) / 64 * 64;
  int64_t key = 0;
  // Whole vectors are read, which must not go beyond the codes.
  for (; key + kPanelKeys <= count && (key + kPanelKeys - 1) * bytes + read_bytes <= count * bytes;
       key += kPanelKeys)
    pack_panel(codes + key * bytes, bytes, planes + key * words);
  if (key < count) hamming_pack_scalar(codes + key * bytes, count - key, bytes, planes + key * words);
}

// Adds the keys whose bits are set; returns how many.
int64_t add_hits(unsigned below, __m512i distances, int64_t first, HammingHit* hits) {
  alignas(64) int64_t of[8];
  _mm512_store_si512(of, distances);
  int64_t count = 0;
  for (; below; below &= below - 1) {
    const int i = __builtin_ctz(below);
    hits[count++] = {int32_t(first + i), int32_t(of[i])};
  }
  return count;
}

int64_t nearer(const uint64_t* query, const uint64_t* planes, int64_t words, int64_t panels, int32_t limit,
               HammingHit* hits) {
  const __m512i limits = _mm512_set1_epi64(limit);
  int64_t count = 0;
  for (int64_t p = 0; p < panels; ++p) {
    __m512i sums[kVectors];
    for (int v = 0; v < kVectors; ++v) sums[v] = _mm512_setzero_si512();
    for (int64_t w = 0; w < words; ++w, planes += kPanelKeys) {
      const __m512i q = _mm512_set1_epi64(int64_t(query[w]));
      for (int v = 0; v < kVectors; ++v)
        sums[v] = _mm512_add_epi64(
            sums[v], _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(planes + 8 * v), q)));
    }
    uint32_t below = 0;
    for (int v = 0; v < kVectors; ++v) below |= uint32_t(_mm512_cmplt_epi64_mask(sums[v], limits)) << 8 * v;
    if (!below) continue;
    for (int v = 0; v < kVectors; ++v)
      count += add_hits(below >> 8 * v & 255, sums[v], p * kPanelKeys + 8 * v, hits + count);
  }
  return count;
}

// Sums of neighbouring elements, in order.
__m512i pair_sums(__m512i a, __m512i b) {
  const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
  const __m512i odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
  return _mm512_add_epi64(_mm512_permutex2var_epi64(a, even, b), _mm512_permutex2var_epi64(a, odd, b));
}

// The distances of 8 rows of 1, 2, 4 or 8 words.
template <int words>
__m512i distances_of(const uint8_t* codes, __m512i query) {
  __m512i counts[words];
  for (int i = 0; i < words; ++i)
    counts[i] = _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(codes + 64 * i), query));
  for (int n = words; n > 1; n /= 2)
    for (int i = 0; i < n / 2; ++i) counts[i] = pair_sums(counts[2 * i], counts[2 * i + 1]);
  return counts[0];
}

template <int words>
int64_t nearer_whole_rows(const uint64_t* query, const uint8_t* codes, int64_t count, int64_t bytes,
                          int32_t limit, HammingHit* hits) {
  uint64_t repeated[8];
  for (int w = 0; w < 8; ++w) repeated[w] = query[w % words];
  const __m512i q = _mm512_loadu_si512(repeated), limits = _mm512_set1_epi64(limit);
  int64_t found = 0, first = 0;
  for (; first + 8 <= count; first += 8) {
    const __m512i distances = distances_of<words>(codes + first * bytes, q);
    const unsigned below = _mm512_cmplt_epi64_mask(distances, limits);
    if (below) found += add_hits(below, distances, first, hits + found);
  }
  const int64_t whole = found;
  found += nearer_rows_of<words>(query, codes + first * bytes, count - first, bytes, limit, hits + found);
  for (int64_t h = whole; h < found; ++h) hits[h].place += int32_t(first);
  return found;
}

int64_t nearer_rows_avx512(const uint64_t* query, const uint8_t* codes, int64_t count, int64_t bytes,
                           int32_t limit, HammingHit* hits) {
  const auto rows = bytes == 8    ? nearer_whole_rows<1>
                    : bytes == 16 ? nearer_whole_rows<2>
                    : bytes == 32 ? nearer_whole_rows<4>
                    : bytes == 64 ? nearer_whole_rows<8>
                                  : nearer_rows_of<0>;
  return rows(query, codes, count, bytes, limit, hits);
}

}  // namespace

extern const HammingKernel kHammingAvx512;
const HammingKernel kHammingAvx512 = {pack, nearer, nearer_rows_avx512};

}  // namespace fastret
