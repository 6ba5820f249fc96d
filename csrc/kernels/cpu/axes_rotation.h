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

  // How far the computed product of a centred row is from the exact row times the orthogonal matrix nearest
  // to the axes, in the 2-norm and relative to the row. That matrix is within `defect` of the axes, as their
  // singular values are within it of 1. Each term rounds kChunk + D / kChunk times at most: once as a
  // product, kChunk - 1 times in its chunk, and as often as chunks follow. 2 more are for the centring, 1.1u
  // of the row. That is u times the sum of |axis||row| for each element, which the norms bound by sqrt(D) in
  // all. Heads leave a D of more than 16, and 1.01 is for the axes' norms and for products of roundings.
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
