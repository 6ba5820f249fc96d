// Iterations of k-means: Lloyd's algorithm.
#pragma once
#include "kernels/params.h"

namespace fastret {

// Iterates until an objective is within `tolerance` times the one before of it, the first one's being
// `previous_objective`; or a cluster is without weight, from which the next iteration could not go on.
struct KMeansParams {
  const float* rows;         // [N, D]
  const float* centroids;    // [K, D]
  const float* weights;      // [N], or nullptr: 1
  int64_t count;             // N, below 2^31
  int64_t num_clusters;      // K, below 2^31
  int64_t dim;               // D
  int64_t max_iterations;    // I, at least 1
  float previous_objective;  // NaN: none
  double tolerance;
  float* means;         // [K, D], of the last iteration: zeros where there are no rows
  float* mean_weights;  // [K], of the last iteration: sums of weights
  int64_t* sizes;       // [I, K]: rows
  float* objectives;    // [I]: sums of the squared distances, in the order of the rows
};

namespace cpu {
// How many iterations there were; 0 if a row has no finite distance from any centroid.
int64_t kmeans_steps(const KMeansParams& params, const Parallel& parallel);
}  // namespace cpu

}  // namespace fastret
