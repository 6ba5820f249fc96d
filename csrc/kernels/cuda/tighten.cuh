// Between the scans of a search: what has been kept of a query tells what can still be excluded.
#pragma once
#include "kernels/cuda/launch.h"
#include "kernels/cuda/query_state.cuh"
#include "kernels/cuda/scan.h"

namespace fastret::cuda {

struct TightenParams {
  Survivors survivors;
  QueryFacts* query_facts;  // [Q] of the scan that kept them
  float* thresholds;        // [Q]
  uint32_t* answers;        // [Q] QueryAnswer
  const KeyFacts* key_facts;
  float squared_extra;
  int64_t k;
  QueryAnswer lost;                // what becomes of a query that lost some survivors
  const uint32_t* list = nullptr;  // only these queries (FinerScan)
};

// Raises each query's threshold to the k-th largest lower end of its survivors and drops those whose upper
// ends are below it. Where some were lost, what is left still raises the threshold.
void tighten(Launcher& launch, const TightenParams& params, int64_t num_queries);

}  // namespace fastret::cuda
