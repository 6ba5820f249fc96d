// Every instruction set of this machine, and the dimensions that its vectors do not divide.
#pragma once
#include <vector>

#include "kernels/isa.h"

namespace fastret::test {

constexpr double kU = 0x1p-24;  // of one rounding to float32

template <class F>
void for_each_set(F&& body) {
  for (const char* const* name = available_isas(); *name; ++name) {
    use_isa(*name);
    body(primitives());
  }
}

inline std::vector<int64_t> dims(int64_t step) {
  std::vector<int64_t> dims;
  for (int64_t dim = 1; dim <= 300; dim += step) dims.push_back(dim);
  dims.insert(dims.end(), {255, 256, 257, 512, 1023});
  return dims;
}

}  // namespace fastret::test
