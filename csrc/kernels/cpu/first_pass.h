// Which first pass is the cheapest for a work.
#pragma once
#include "kernels/isa.h"

namespace fastret::cpu {

constexpr int64_t kFewQueries = 3;  // so few read each key once: packing would not pay

// For keys that are packed for this search only.
FirstPass cheapest_first_pass(int64_t num_queries, int64_t dim);

// Whether the places of candidates, 32 bits, can count so many keys.
inline bool keys_places_fit(int64_t num_keys) {
  return num_keys < (int64_t(1) << 32) - kPanelKeys;
}

}  // namespace fastret::cpu
