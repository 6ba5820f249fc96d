// The survivors of a scan, scored canonically.
#pragma once
#include "kernels/cuda/exact_rows.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/scan.h"

namespace fastret::cuda {

struct RescoreParams {
  Rows queries;
  ExactRows keys;
  Metric metric;
  const float* ceilings;    // [Q] or nullptr
  const uint32_t* answers;  // [Q] QueryAnswer: only those by a scan
  Survivors survivors;
};

// Replaces every entry by the rank key of its canonical rank value, or kNothing where that is no neighbour.
void rescore(Launcher& launch, const RescoreParams& params, int64_t target_blocks);

}  // namespace fastret::cuda
