// Which first pass is the cheapest for a work.
#pragma once
#include "kernels/isa.h"

namespace fastret::cpu {

struct PassChoice {
  FirstPass pass;
  bool in_place = false;  // float32 over the rows as they are, without packing them
};

// The cheapest for keys that are packed for this search only, of all passes (first_pass -1) or with this one.
PassChoice choose_pass(int64_t num_queries, int64_t dim, int first_pass = -1);

// Whether the places of candidates, 32 bits, can count so many keys.
inline bool keys_places_fit(int64_t num_keys) {
  return num_keys < (int64_t(1) << 32) - kPanelKeys;
}

}  // namespace fastret::cpu
