// Search by Hamming distance among packed bits, in memory as they lie or in inverted lists. Inputs are
// checked by the caller (csrc/ops/hamming_cpu.cpp).
#pragma once
#include <vector>

#include "kernels/params.h"

namespace fastret {

// Inverted lists in one arena of keys: list l holds the places starts[l] ... starts[l] + sizes[l] - 1.
struct ProbedLists {
  const int64_t* ids;     // [N] by place
  const int64_t* starts;  // [L]
  const int64_t* sizes;   // [L]
  int64_t num_lists;      // L
  const int64_t* probes;  // [Q, P] the lists that each query visits, -1: none
  int64_t num_probes;     // P
};

struct HammingParams {
  const uint8_t* queries;  // [Q, B]
  int64_t num_queries;
  const uint8_t* keys;  // [N, B]
  int64_t num_keys;
  int64_t bytes;                       // B
  const bool* allowed = nullptr;       // [N] by place; nullptr: all
  const ProbedLists* lists = nullptr;  // nullptr: every query visits every key, and ids are places
};

// Where a search pads, as FAISS does.
constexpr int32_t kNoDistance = 0x7fffffff;

namespace cpu {

// The k nearest, of equal distances the smaller id first; distances and ids are [Q, K].
void hamming_search(const HammingParams& params, int64_t k, int32_t* distances, int64_t* ids,
                    const Parallel& parallel);

// What is nearer than the radius: of query q from lims[q] to lims[q + 1], ids ascending.
struct HammingFound {
  std::vector<int64_t> lims;  // [Q + 1]
  std::vector<int32_t> distances;
  std::vector<int64_t> ids;
};

HammingFound hamming_range_search(const HammingParams& params, int64_t radius, const Parallel& parallel);

}  // namespace cpu
}  // namespace fastret
