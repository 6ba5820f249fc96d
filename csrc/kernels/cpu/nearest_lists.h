// The nearest centroids of few queries. Inputs are checked by the caller (csrc/ops/nearest_lists.h).
#pragma once
#include "kernels/params.h"

namespace fastret::cpu {

struct NearestListsParams {
  Rows queries;    // [Q, D] float32
  Rows centroids;  // [L, D] float32
  Metric metric;
  int64_t nprobe;  // P
  float* scores;   // [Q, P] canonical, best first, equal ones by list
  int64_t* lists;  // [Q, P], -1 where there are fewer that are not infinitely bad
};

void nearest_lists(const NearestListsParams& params);

}  // namespace fastret::cpu
