// Scores of queries with keys by metrics beyond inner product and L2. A sum runs in float64 over the
// dimensions in their order, and the score is rounded to float32 once: its bits depend on its pair alone.
// Formulas in extra_metrics.h.
#pragma once
#include <cstdint>

#include "kernels/params.h"

namespace fastret {

enum class ExtraMetric : int { l1, linf, canberra, bray_curtis, jaccard, nan_euclidean, gower };
constexpr int kExtraMetrics = 7;

struct ExtraScoresParams {
  Rows queries;  // [Q, D] float32
  Rows keys;     // [N, D] float32
  ExtraMetric metric;
  float* scores;  // [Q, N]
};

// What each instruction set provides.
struct ExtraScoresKernel {
  // panel [D, kPanelKeys]: the first of `count` keys beside each other, and the last again where there are
  // fewer.
  void (*pack)(const float* keys, int64_t row_stride, int64_t count, int64_t dim, double* panel);
  // queries [n, D], scores [n, kPanelKeys]
  void (*score)(ExtraMetric metric, const double* queries, int64_t n, const double* panel, int64_t dim,
                float* scores);
};

namespace cpu {

void extra_scores(const ExtraScoresParams& params, const Parallel& parallel);

}  // namespace cpu
}  // namespace fastret
