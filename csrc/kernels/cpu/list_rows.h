// The rows of inverted lists as float32.
#pragma once
#include <vector>

#include "kernels/inverted_lists.h"

namespace fastret::cpu {

// target[d], each step rounded to float32; `ranges` as of InvertedLists, centroid [D] to be added or nullptr.
void decode_row(Codec codec, const uint8_t* code, int64_t dim, const float* ranges, const float* centroid,
                float* target);

// A row of the arena, and the list that it is one of.
struct RowPlace {
  int64_t list, position;
};

// Reads rows in place where they are stored as aligned float32, else decodes them into one of `slots`
// buffers.
class ListRows {
 public:
  ListRows(const InvertedLists& lists, int64_t slots);

  bool in_place() const { return in_place_; }
  const float* read(RowPlace place, int64_t slot) {
    const uint8_t* code = lists_.codes + place.position * code_bytes_;
    return in_place_ ? reinterpret_cast<const float*>(code) : decode(code, place.list, slot);
  }

 private:
  const float* decode(const uint8_t* code, int64_t list, int64_t slot);

  const InvertedLists& lists_;
  int64_t code_bytes_;
  bool in_place_;
  std::vector<float> decoded_;  // [slots, D]
};

}  // namespace fastret::cpu
