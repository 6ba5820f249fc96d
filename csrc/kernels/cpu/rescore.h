// Canonical scores of the pairs that a scan kept.
#pragma once
#include <vector>

#include "kernels/cpu/query_block.h"

namespace fastret::cpu {

struct Pair {
  int64_t query;  // of the block
  int64_t key;
  float upper;  // end of the key's interval, in t's scale
  float value;  // canonical rank value, once scored
};

// Scores pairs[begin:], which it may reorder. Each query's pairs are neighbours at first.
void score_pairs(const KeySet& keys, const QueryBlock& block, std::vector<Pair>& pairs, size_t begin);

}  // namespace fastret::cpu
