// Rows in another orthogonal basis.
#pragma once
#include <vector>

#include "kernels/isa.h"

namespace fastret::cpu {

class AxesRotation {
 public:
  AxesRotation(const Primitives& isa, const PrincipalAxes& axes, int64_t dim);

  int64_t max_rows() const { return isa_.tile_queries[int(FirstPass::float32)]; }
  // Replaces rows [count, dim], `stride` floats apart, by their products with every axis. count <=
  // max_rows().
  void rotate(float* rows, int64_t count, int64_t stride);

  // How far a computed product is from the exact one with axes that are exactly orthogonal, in the 2-norm and
  // relative to the row: every element rounds kChunk + D / kChunk + 2 times, to at most u times the sum of
  // |axis||row|, which the norms bound by sqrt(D) in all.
  static double error(int64_t dim, double defect);

 private:
  static constexpr int64_t kChunk = 64;  // dimensions summed at once, so that errors grow slowly

  const Primitives& isa_;
  const float* axes_;
  int64_t dim_;
  std::vector<float> steps_;    // [dim, count]: the rows as the tile reads them
  std::vector<float> rotated_;  // [count, panels * kPanelKeys]
};

}  // namespace fastret::cpu
