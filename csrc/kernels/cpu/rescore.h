// Canonical scores of the pairs that a scan kept.
#pragma once
#include <algorithm>
#include <vector>

#include "kernels/cpu/query_block.h"

namespace fastret::cpu {

struct Pair {
  uint32_t query;   // of the block
  uint32_t key;     // its place
  float value = 0;  // canonical rank value, once scored
};

// So many queries are rescored together: their rows stay in the second-level cache, and their pairs in some
// 50 MB.
inline int64_t queries_rescored_together(int64_t dim, int64_t k) {
  const int64_t by_rows = (512 << 10) / (4 * std::max<int64_t>(1, dim));
  const int64_t by_pairs = (int64_t(2) << 20) / std::max<int64_t>(1, k);
  return std::clamp<int64_t>(std::min(std::max<int64_t>(16, by_rows), by_pairs), 1, 1024);
}

// Appends the pairs of query q with those of the keys that it may find.
void add_pairs(const KeySet& keys, const QueryBlock& block, int64_t q, const std::vector<int64_t>& of,
               std::vector<Pair>& pairs);

// Scores pairs[begin:], which it may reorder. Each query's pairs are neighbours at first.
void score_pairs(const KeySet& keys, const QueryBlock& block, std::vector<Pair>& pairs, size_t begin);

}  // namespace fastret::cpu
