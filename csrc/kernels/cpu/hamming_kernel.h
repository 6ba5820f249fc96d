// What each instruction set provides for Hamming distances.
#pragma once
#include <cstdint>

#include "kernels/params.h"

namespace fastret {

struct HammingHit {
  int32_t place;
  int32_t distance;
};

// Codes are padded with zeros to words of 64 bits. Keys lie in panels: word w of key i of panel p is
// planes[(p * words + w) * kPanelKeys + i].
struct HammingKernel {
  // Panels of `count` codes; the keys that fill the last panel are zeros.
  void (*pack)(const uint8_t* codes, int64_t count, int64_t bytes, uint64_t* planes);
  // The keys nearer than the limit, places ascending; hits has room for all of them. Returns how many.
  int64_t (*nearer)(const uint64_t* query, const uint64_t* planes, int64_t words, int64_t panels,
                    int32_t limit, HammingHit* hits);
  // The same of codes as they lie, for queries too few to pack the keys for.
  int64_t (*nearer_rows)(const uint64_t* query, const uint8_t* codes, int64_t count, int64_t bytes,
                         int32_t limit, HammingHit* hits);
};

inline int64_t hamming_words(int64_t bytes) {
  return (bytes + 7) / 8;
}

// The kernel that goes with the instruction set in use.
const HammingKernel& hamming_kernel();

void hamming_pack_scalar(const uint8_t* codes, int64_t count, int64_t bytes, uint64_t* planes);

}  // namespace fastret
