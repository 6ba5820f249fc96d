// One tile of a contrastive loss: the scores of R anchors with C candidates, made by a matrix product, and
// what becomes of them before the next one. python/fastret/ops/contrastive_reference.py is the definition.
#pragma once
#include <cstdint>

#include "kernels/params.h"

namespace fastret {

enum class ScoreType : int { f32 = int(DType::f32), bf16 = int(DType::bf16), f16 = int(DType::f16), f64 };

// Some columns for each row: columns[begins[r] .. ends[r]) - first, of which those outside the tile do not
// count.
struct ColumnLists {
  const int64_t* begins = nullptr;  // [R]; nullptr: none
  const int64_t* ends = nullptr;    // [R]
  const int64_t* columns = nullptr;
  int64_t first = 0;
};

// A candidate is worth scale * score to an anchor, a positive one positive_scale * (score - margin).
struct ContrastiveTile {
  void* scores;  // [R, C]; -inf: no candidate
  ScoreType type;
  int64_t rows;
  int64_t columns;
  int64_t row_stride;  // in elements
  double positive_scale;
  double scale;
  double margin;
  ColumnLists positives;
  ColumnLists excluded;  // no candidates, unless they are positives
  // What limits are compared with, of the type of the scores; nullptr: the scores themselves.
  const void* judge = nullptr;  // [R, C]
  int64_t judge_stride = 0;
  // A candidate that is judged above the limit is none, unless it is a positive; nullptr: no limit.
  const double* row_limits = nullptr;     // [R]
  const double* column_limits = nullptr;  // [C], where candidates are anchors, too
};

// What a softmax needs to know of its candidates, in tiles one after the other.
enum Stat : int { kLargest, kExpSum, kWorthSum, kCount, kPositiveWorth, kStats };

struct ContrastiveStats {
  double* stats;  // [kStats, R]: largest worth, sum of exp(worth - largest), sums of worths, candidates
  int64_t stat_stride;
  int64_t k = 0;                       // the hardest negatives to tell
  float* hardest = nullptr;            // [R, K] scores, best first, padded with -inf
  int64_t* hardest_columns = nullptr;  // [R, K], padded with -1
};

// The gradient of a score is factor * exp(worth - largest) - smoothing, for positives less target.
enum Coefficient : int { kOffset, kFactor, kSmoothing, kTarget, kCoefficients };

struct ContrastiveGradient {
  const double* rows;  // [kCoefficients, R]
  int64_t row_coefficient_stride;
  const double* columns = nullptr;  // [kCoefficients, C]: added, where candidates are anchors, too
  int64_t column_coefficient_stride = 0;
  double* score_products = nullptr;  // [R]: sums of gradient times score, a positive's less the margin
};

// Negatives cost log(1 + exp(w)), positives log(1 + exp(-w)), where w = scale * score + bias.
struct SigmoidTile {
  double bias;
  const double* row_weights;  // [R]: of the gradient
  double* losses;             // [R]
  double* sums;               // [R]: of the gradient
  double* score_products;     // [R]
  bool gradient;              // whether the scores become their gradient
};

namespace cpu {
// Takes the candidates into the stats, and leaves the scores as they are.
void contrastive_stats(const ContrastiveTile& tile, const ContrastiveStats& found, const Parallel& parallel);
// The scores become the gradient of their losses, over `scale`: of what is no candidate, 0.
void contrastive_gradient(const ContrastiveTile& tile, const ContrastiveGradient& given,
                          const Parallel& parallel);
void sigmoid_tile(const ContrastiveTile& tile, const SigmoidTile& given, const Parallel& parallel);
}  // namespace cpu

}  // namespace fastret
