// One iteration of k-means: Lloyd's algorithm.
#pragma once
#include "kernels/params.h"

namespace fastret {

struct KMeansStepParams {
  const float* rows;       // [N, D]
  const float* centroids;  // [K, D]
  const float* weights;    // [N], or nullptr: 1
  int64_t count;           // N
  int64_t num_clusters;    // K, below 2^31
  int64_t dim;             // D
  float* means;            // [K, D]: zeros where there are no rows
  float* mean_weights;     // [K]: sums of weights
  int64_t* sizes;          // [K]: rows
  float* objective;        // [1]: sum of the squared distances, in the order of the rows
};

namespace cpu {
void kmeans_step(const KMeansStepParams& params, const Parallel& parallel);
}  // namespace cpu

}  // namespace fastret
