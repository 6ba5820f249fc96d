// Between the scans of a search: what has been kept of a query tells what can still be excluded.
#pragma once
#include "kernels/cuda/launch.h"
#include "kernels/cuda/scan.h"
#include "kernels/cuda/split_rows.cuh"

namespace fastret::cuda {

struct TightenParams {
  Survivors survivors;
  QueryState queries;
  const KeyFacts* key_facts;
  float squared_extra;
  int64_t k;
};

// Raises each query's threshold to the k-th largest lower end of its survivors and drops those whose upper
// ends are below it. A query that lost some is left unanswered; what it has kept still raises its threshold.
void tighten(Launcher& launch, const TightenParams& params, int64_t num_queries);

}  // namespace fastret::cuda
