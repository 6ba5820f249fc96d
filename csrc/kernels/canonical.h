// The canonical score: the definition that every instruction set and every device reproduces bit for bit.
//
// A canonical sum over the dimensions runs in float64 with kCanonicalLanes strided accumulators: lane j adds
// the terms of dimensions j, j + 16, j + 32, ... in that order, starting from 0; then the lanes fold as a
// fixed tree, lane[j] += lane[j + h] for h = 8, 4, 2, 1.
//   product:            the product of two float32 is exact in float64, so a fused multiply-add changes
//   nothing. squared difference: difference, square and sum are each rounded; never a fused multiply-add.
#pragma once
#include <cmath>

#include "kernels/host_device.h"
#include "kernels/params.h"

namespace fastret {

FASTRET_HOST_DEVICE double fold_lanes(double* lanes) {  // [16], overwritten
  for (int half = 8; half; half /= 2)
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  return lanes[0];
}

// The float32 score of a pair from its canonical sums. For cosine, `sum` is the product sum and the squares
// are the product sums of each vector with itself; a zero vector has cosine 0 with everything but NaN. -0
// becomes +0.
FASTRET_HOST_DEVICE float canonical_score(Metric metric, double sum, double query_square, double key_square) {
  if (metric != Metric::cosine) return static_cast<float>(sum) + 0.0f;
  const bool no_nan = query_square + key_square >= 0.0;
  if (no_nan && (query_square == 0.0 || key_square == 0.0)) return 0.0f;
  return static_cast<float>(sum / (sqrt(query_square) * sqrt(key_square))) + 0.0f;
}

// Scores as a value to maximise: distances negated.
FASTRET_HOST_DEVICE float rank_value(Metric metric, float score) {
  return metric == Metric::l2 ? -score : score;
}

// Of two neighbours, the larger rank value comes first; of equal ones, the smaller id.
FASTRET_HOST_DEVICE bool ranks_before(float value_a, long long id_a, float value_b, long long id_b) {
  return value_a > value_b || (value_a == value_b && id_a < id_b);
}

}  // namespace fastret
