// The first pass over rows of levels without decoding them: one query at a time is folded with the ranges of
// the levels and with the centroid of a list. How far its scores may be from the truth:
//
// A row stands for X = base + step * level, centroid included, in exact arithmetic; the canonical score takes
// it from x, each step of whose decoding rounds: |x - X| <= 4.1u m for every dimension, where m is the sum of
// the magnitudes of its parts. t is that of error_bound.h with c = 0, M = |m|, R the norm of the magnitudes
// of step * level, u = 2^-24 and g = (D/8 + 32)u / (1 - (D/8 + 32)u), roundings of each term included.
//   inner product  t = q.X: the sum of steps with q folded in errs by g|q|M, decoding by 4.1u |q|M, and the
//                  canonical score, the sum with q.base (float64) and the upper end by 6u |q|M.
//   l2             t = (|q|^2 - |q - X|^2) / 2: targets q - base and steps are rounded, T = |q - base|. Each
//                  difference errs by 4.1u of its dimension's part of reach = T + R, so that the sum errs by
//                  (g + 9u) reach^2, decoding by 8.2u M reach, the canonical score, |q|^2 as float32 and the
//                  last steps by 4u (reach^2 + |q|^2), all of it halved.
// Underflow: below 255 * 2^-150 for each dimension, times factors that kNothingBelow in M outweighs.
#pragma once
#include <vector>

#include "kernels/cpu/level_scores.h"
#include "kernels/inverted_lists.h"

namespace fastret::cpu {

class LevelPass {
 public:
  LevelPass(const InvertedLists& lists, Metric metric);

  // Whether rows of these lists can be scored so.
  static bool applies(const InvertedLists& lists, Metric metric);
  bool applies() const { return bits_ > 0; }
  // Of the scores that follow. False, where float32 cannot bound them.
  bool aim(const float* query, double query_square, int64_t list);
  // t of rows from this position on, each within error() of the canonical score's.
  void score(int64_t first, int count, float* t) const;
  float error() const { return error_; }

 private:
  const InvertedLists& lists_;
  bool squared_;
  int bits_;
  int64_t row_bytes_;
  ScoreLevels score_levels_;
  std::vector<double> base_, step_, magnitude_;  // [D] of X without the centroid
  double step_reach_ = 0;                        // R
  std::vector<float> steps_, targets_;           // [D] of the query
  double start_ = 0;                             // t = start - sum / 2, or start + sum
  float error_ = 0;
};

}  // namespace fastret::cpu
