// Inverted lists: coded rows in one arena, each list a stretch of it.
#pragma once
#include "kernels/params.h"

namespace fastret {

// How a row is stored. Codes of 8, 6 and 4 bits are levels of each dimension's range; direct codes are the
// values themselves, signed ones plus 128.
enum class Codec : int { float32, float16, bfloat16, bits8, bits6, bits4, direct8, direct8_signed };
constexpr int kNumCodecs = 8;

inline int64_t code_bytes(Codec codec, int64_t dim) {
  switch (codec) {
    case Codec::float32:
      return 4 * dim;
    case Codec::float16:
    case Codec::bfloat16:
      return 2 * dim;
    case Codec::bits6:
      return (6 * dim + 7) / 8;
    case Codec::bits4:
      return (dim + 1) / 2;
    default:
      return dim;
  }
}

inline bool has_ranges(Codec codec) {
  return codec == Codec::bits8 || codec == Codec::bits6 || codec == Codec::bits4;
}

struct InvertedLists {
  const uint8_t* codes;  // [capacity, code_bytes]
  Codec codec;
  int64_t dim;
  const float*
      ranges;  // [2, D], of codecs with ranges: value = ranges[0] + (level + 0.5) / levels * ranges[1]
  const int64_t* ids;      // [capacity]; nullptr: positions are ids
  const int64_t* starts;   // [L]
  const int64_t* sizes;    // [L]
  int64_t num_lists;       // L
  const float* centroids;  // [L, D], added to the rows of their list; nullptr: none
  const bool* allowed;     // [capacity], the rows that may be found; nullptr: all

  int64_t id(int64_t position) const { return ids ? ids[position] : position; }
};

// The lists that each query visits, best first.
struct Probes {
  const int64_t* lists;  // [Q, P], -1: none
  int64_t per_query;     // P
  int64_t max_rows;      // each query visits so many rows at most; 0: any number
};

struct ListSearchParams {
  Rows queries;  // [Q, D]
  InvertedLists lists;
  Probes probes;
  Metric metric;
  int64_t k;
  float* scores;       // [Q, K], best first, equal ones by id; padded as those of SearchParams
  int64_t* positions;  // [Q, K], in the arena, padded with -1
};

struct ListRangeSearchParams {
  Rows queries;  // [Q, D]
  InvertedLists lists;
  Probes probes;
  Metric metric;
  float threshold;  // found are scores above it, for l2 below it
};

}  // namespace fastret
