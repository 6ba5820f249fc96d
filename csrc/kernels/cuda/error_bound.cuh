// How far a first-pass value may be from the truth: the proof behind the CUDA search.
//
// What is scored. With x' and q' the bfloat16 planes of a key x and a query q (planes.h), the pass computes
//   value = scale (q'.x') + bias
// of t = q.x for inner product, q.x/|x| = |q| cos for cosine and q.x - |x|^2/2 for l2, where 2t = |q|^2 -
// distance: each grows with the rank value. scale = 1/|x| for cosine (0 for a zero vector), else 1; bias =
// -|x|^2/2 for l2, else 0.
//
// Let u = 2^-24, v = 2^-53, Dp the stride of a plane, and all norms of the unscaled rows.
//   1. q.x - q'.x' = q.(x - x') + (q - q').x', at most |q| |x - x'| + |q - q'| |x'|.
//   2. Tensor cores multiply bfloat16 exactly and add the 16 products of an instruction to the accumulator in
//      groups of 4, 8 or 16. A group's addends are aligned to the largest and cut to at least 23 fraction
//      bits, and so is their sum (Fasi, Higham, Mikaitis, Pranesh: Numerical behavior of NVIDIA tensor cores,
//      2021, up to A100; Khattak, Mikaitis: Accurate models of NVIDIA tensor cores, 2025, up to B200): with a
//      group of g products g + 2 errors below 2u of what has been added up in magnitude, at most 4 x 6 per
//      instruction. So q'.x' errs by less than 3.06 Dp u |q'||x'|, growth included, up to Dp = 2^16.
//   3. scale and bias are rounded, as are the product with the one and the sum with the other: 4u |q'||x'| of
//      a scaled key, and 2u |x|^2 for l2 beside u |q'||x'|.
//   4. The canonical score errs by w = u + (4D + 16)v of |q||x| (cosine: of |q|), for l2 by w of the
//      distance, which is at most 2|q|^2 + 2|x|^2, so by w (|q|^2 + |x|^2) of t. |x| <= 1.004 |x'|.
//   5. Ends are value +- width in float32: an error of u in each, at most u (|q'||x'| scale + |x|^2/2 +
//      width).
// So with
//   norm_q = |q|           residual_x = scale |x - x'|
//   residual_q = |q - q'| + (3.06 Dp + 16) u |q'| + 1.01 w |q|          norm_x = scale |x'|
//   extra_q = w |q|^2 for l2, else 0      squared_extra = 8u + 1.02 w for l2, else 0
// each rounded up by 2^-20 of itself, which outweighs the rounding of `width`, t lies within
//   width = norm_q residual_x + (residual_q + squared_extra norm_x) norm_x + extra_q
// of the value, and a key whose upper end is below the k-th largest lower end has a canonical score strictly
// below k others.
//
// The finer scan (FinerScan in scan.h). With x" the middle plane, x - x' rounded to bfloat16, and q"
// likewise,
//   q.x - (q'.x" + q".x' + q'.x') = q".x" + q.(x - x' - x") + (q - q' - q").(x' + x")
// where |x - x' - x"| <= 2^-8 |x - x'| and |x"| <= (1 + 2^-8)|x - x'|, likewise of q. Of item 2, the products
// with middles meet sums below 1.01 2^-7 |q'||x'|, and add them to what the others meet, which makes it
// 3.12 Dp u in all. So with
//   norm_q = 2^-8 |q| + 1.01 |q - q'|
//   residual_q = 1.01 2^-8 |q - q'| + (3.12 Dp + 16) u |q'| + 1.01 w |q|
// and all else as above, `width` bounds its error.
//
// Norms from 2^-30 to 2^60, or 0, keep every product of them within float32, and what underflows below item
// 2's allowance. Other keys are scored canonically for every query; other queries take the exact path.
#pragma once
#include <cmath>

#include "kernels/cuda/planes.h"
#include "kernels/cuda/rank_key.cuh"

namespace fastret::cuda {

constexpr double kLeastNorm = 0x1p-30, kMostNorm = 0x1p60;
constexpr int64_t kMostDims = 1 << 16;  // of the first pass

struct QueryFacts {
  float norm, residual, extra;
  // Values that surely beat the query's ceiling are above the upper one, those that surely do not below the
  // lower.
  float ceiling_low, ceiling_high;
};

// A float no smaller than a value that is not negative, with room for the rounding of what it is used in.
FASTRET_HOST_DEVICE float upward(double value) {
  return float(value * (1 + 0x1p-20));
}

FASTRET_HOST_DEVICE double canonical_rounding(int64_t dim) {
  return 0x1p-24 + double(4 * dim + 16) * 0x1p-53;
}

FASTRET_HOST_DEVICE bool fits_first_pass(double norm) {
  return norm == 0 || (norm >= kLeastNorm && norm <= kMostNorm);
}

FASTRET_HOST_DEVICE float squared_extra(Metric metric, int64_t dim) {
  return metric == Metric::l2 ? upward(8 * 0x1p-24 + 1.02 * canonical_rounding(dim)) : 0.0f;
}

// Of a row with these norms: |x|, |x - x'| and |x'|.
struct RowNorms {
  double exact, residual, high;
};

FASTRET_HOST_DEVICE KeyFacts key_facts(Metric metric, const RowNorms& norms) {
  KeyFacts facts = {1, 0, INFINITY, 0};
  if (norms.exact != norms.exact) facts.residual = NAN;
  if (!fits_first_pass(norms.exact)) return facts;
  const double scale = metric != Metric::cosine ? 1 : norms.exact == 0 ? 0 : 1 / norms.exact;
  facts.scale = float(scale);
  if (metric == Metric::l2) facts.bias = float(-0.5 * norms.exact * norms.exact);
  facts.residual = upward(scale * norms.residual);
  facts.norm = upward(scale * norms.high);
  return facts;
}

// `ceiling` as of SearchParams.
FASTRET_HOST_DEVICE QueryFacts query_facts(Metric metric, int64_t dim, const RowNorms& norms, float ceiling,
                                           bool finer = false) {
  const double u = 0x1p-24, w = canonical_rounding(dim), square = norms.exact * norms.exact;
  const double dims = double(plane_stride(dim));
  const double rounding = ((finer ? 3.12 : 3.06) * dims + 16) * u * norms.high + 1.01 * w * norms.exact;
  QueryFacts facts = {};
  facts.norm = upward(finer ? 0x1p-8 * norms.exact + 1.01 * norms.residual : norms.exact);
  facts.residual = upward((finer ? 1.01 * 0x1p-8 : 1) * norms.residual + rounding);
  facts.extra = metric == Metric::l2 ? upward(w * square) : 0.0f;
  const double scaled = metric == Metric::cosine ? norms.exact * ceiling
                        : metric == Metric::l2   ? 0.5 * (square - ceiling)
                                                 : double(ceiling);
  const double slack = 0x1p-20 * (metric == Metric::l2 ? square + fabs(double(ceiling)) : fabs(scaled));
  // Less the smallest float32: next to zero the slack would be lost in rounding.
  facts.ceiling_low = float(scaled - slack - 0x1p-149);
  facts.ceiling_high = float(scaled + slack);
  const bool unbounded = ceiling != ceiling || ceiling == (metric == Metric::l2 ? -INFINITY : INFINITY);
  // An infinite ceiling that does bound something is beaten by every finite score.
  if (unbounded || fabsf(ceiling) == INFINITY)
    facts.ceiling_low = facts.ceiling_high = unbounded ? INFINITY : -INFINITY;
  return facts;
}

FASTRET_HOST_DEVICE float width(const QueryFacts& query, float squared_extra, const KeyFacts& key) {
  return query.norm * key.residual + (query.residual + squared_extra * key.norm) * key.norm + query.extra;
}

// The interval that holds t. A key that the pass tells nothing about may have any.
struct Ends {
  float lower, upper;
};

FASTRET_HOST_DEVICE Ends ends(float value, const QueryFacts& query, float squared_extra,
                              const KeyFacts& key) {
  if (key.residual == INFINITY) return {-INFINITY, INFINITY};
  const float half = width(query, squared_extra, key);
  return {value - half, value + half};
}

}  // namespace fastret::cuda
