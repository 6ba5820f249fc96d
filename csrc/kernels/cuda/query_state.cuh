// What a search knows of its queries while it runs.
#pragma once
#include "kernels/cuda/error_bound.cuh"

namespace fastret::cuda {

// What becomes of a query.
enum QueryAnswer : uint32_t {
  kByScan,       // by what the scan keeps
  kWithoutScan,  // by canonical scores of all keys
  kByFinerScan,  // the scan had to drop some keys that it should have kept
};

struct QueryState {
  uint16_t* high;           // [Q up to a whole tile, plane_stride(D)]
  uint16_t* middle;         // likewise
  QueryFacts* facts;        // [Q]
  QueryFacts* finer_facts;  // [Q]
  float* thresholds;        // [Q] a lower end that k keys reach; +inf: the query takes no part in the scan
  uint32_t* answers;        // [Q] QueryAnswer
};

// Whether a canonical score is better than a ceiling (SearchParams) admits.
__device__ __forceinline__ bool beats_ceiling(Metric metric, float score, float ceiling) {
  return metric == Metric::l2 ? score < ceiling : score > ceiling;
}

}  // namespace fastret::cuda
