// Hamming distances in plain C++: the definition that the other instruction sets agree with.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/hamming_rows.h"
#include "kernels/isa.h"

namespace fastret {

#if defined(__x86_64__)
extern const HammingKernel kHammingAvx2;
extern const HammingKernel kHammingAvx512;
#endif

void hamming_pack_scalar(const uint8_t* codes, int64_t count, int64_t bytes, uint64_t* planes) {
  const int64_t words = hamming_words(bytes), whole = bytes / 8;
  if (count % kPanelKeys)
    std::fill_n(planes + count / kPanelKeys * words * kPanelKeys, words * kPanelKeys, uint64_t(0));
  for (int64_t key = 0; key < count; ++key) {
    const uint8_t* code = codes + key * bytes;
    uint64_t* target = planes + key / kPanelKeys * words * kPanelKeys + key % kPanelKeys;
    for (int64_t w = 0; w < whole; ++w) std::memcpy(target + w * kPanelKeys, code + 8 * w, 8);
    if (whole < words) {
      uint64_t rest = 0;
      std::memcpy(&rest, code + 8 * whole, size_t(bytes - 8 * whole));
      target[whole * kPanelKeys] = rest;
    }
  }
}

namespace {

int64_t nearer(const uint64_t* query, const uint64_t* planes, int64_t words, int64_t panels, int32_t limit,
               HammingHit* hits) {
  int64_t count = 0;
  for (int64_t p = 0; p < panels; ++p, planes += words * kPanelKeys)
    for (int i = 0; i < kPanelKeys; ++i) {
      int32_t distance = 0;
      for (int64_t w = 0; w < words; ++w)
        distance += __builtin_popcountll(query[w] ^ planes[w * kPanelKeys + i]);
      hits[count] = {int32_t(p * kPanelKeys + i), distance};
      count += distance < limit;
    }
  return count;
}

constexpr HammingKernel kHammingScalar = {hamming_pack_scalar, nearer, nearer_rows};

}  // namespace

const HammingKernel& hamming_kernel() {
#if defined(__x86_64__)
  static const bool counts_bits = __builtin_cpu_supports("avx512vpopcntdq");
  const char* isa = primitives().name;
  if (std::strncmp(isa, "avx512", 6) == 0) return counts_bits ? kHammingAvx512 : kHammingAvx2;
  if (std::strncmp(isa, "avx2", 4) == 0) return kHammingAvx2;
#endif
  return kHammingScalar;
}

}  // namespace fastret
