// Queries that no scan can answer: every key is scored canonically.
#pragma once
#include "kernels/cuda/exact_rows.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/scan.h"

namespace fastret::cuda {

struct DenseParams {
  Rows queries;
  ExactRows keys;
  Metric metric;
  int64_t k;
  KeyFilter filter;
  const float* ceilings;  // [Q] or nullptr
  const uint32_t* list;   // [Q + 1] how many queries, then their numbers
  Survivors survivors;    // of these queries they are overwritten: capacity >= dense_capacity(k, N)
};

// What the survivors of a query need room for.
int64_t dense_capacity(int64_t k, int64_t num_keys);

// Leaves the k best keys of each listed query, and no more than its capacity, as canonical rank keys.
void answer_densely(Launcher& launch, const DenseParams& params, int64_t blocks);

}  // namespace fastret::cuda
