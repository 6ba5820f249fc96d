// How far a score of the first pass may be from the truth: the proof that certified search rests on, with
// every rounding step. docs/certified-search.md tells the same with its reasons.
//
// What is scored. Keys are centred at a vector c and, for cosine, scaled to unit norm first: y = x - c, or
// x/|x| - c with the norm that the canonical score divides by. Queries are z = q, for l2 z = q - c, and in an
// integer pass projected along a vector d of norm <= 1.01: p = z - a d with a float32 a near z.d. As
// p.y + a d.y = z.y for any c, d and a, none of them need be exact:
//   inner product  t = z.y = q.x - q.c
//   cosine         t = z.y = |q| cos - q.c              (grows with the score)
//   l2             t = z.y - |y|^2/2, 2t = |z|^2 - distance
// The pass computes s' = (n_q.n_y) s_q s_y + a m + bias, where n_q, n_y are the integers of the rotated p and
// y (rotation.h; float32 pass: p and y themselves, s = 1, a = 0), m = float32(d.y') and bias = -|y'|^2/2 for
// l2.
//
// Let u = 2^-24, v = 2^-53, g = D u / (1 - D u), primes for computed vectors, and
//   reach_y = (1 + 2^-20)|y'|, reach_p = (1 + 2^-20)|p'|, h_y = max(|s_y n_y|, reach_y).
//   1. Centring rounds each element to float32, by u|y'|, after float64 arithmetic that errs by less than the
//      rounding but for 2.1v|x/|x|| of cosine and v|z| of p. Both leave room in w of item 6, so that below
//      |y' - y| <= 1.1u reach_y, |p' - p| <= 1.1u reach_p, |y| <= reach_y and |p| <= reach_p.
//   2. float32 pass: the dot product errs by g |z'||y'|; with item 1 for both sides and the last addition
//      of item 5, by (g + 4u) reach_p reach_y.
//   3. Integer pass: R is orthogonal, and the computed rotation errs by 16.01u of the norm. r_y, which is
//      |Ry' - s_y n_y| as measured, is too small by at most 2.01u|y'| (item 7). So |Ry - s_y n_y| <= e_y =
//      r_y + 19.2u reach_y, likewise e_q, and
//        |p.y - (n_q.n_y) s_q s_y| = |Rp.(Ry - s_y n_y) + (Rp - s_q n_q).s_y n_y| <= |p| e_y + e_q |s_y n_y|.
//      Integer sums are exact: int8 sums stay below 2^31 up to D = 65536, and int16 scales keep every norm
//      below 46340.
//   4. m errs by 1.2u reach_y of item 1, by D v, and by 1.1u in its rounding: a m by 2.4u |a| reach_y.
//   5. The float32 evaluation of the upper end rounds the dot product 4 times, in 4.1u (|p| + e_q) h_y,
//      a m 3 times, in 3.2u |a| reach_y, and bias 5 times, storing it included; with item 1 for bias that is
//      below 4u reach_y^2. What the bound adds is rounded 5 times: 2^-20 in each factor outweighs that, and
//      e_q's share of the dot product.
//   6. The canonical score rounds in float64, by less than (D/16 + 8)v, and to float32, by u (cosine, which
//      is at most 1: u/2), of |z|(|c| + |y|), for l2 of (|z| + |y|)^2 / 2. Keys closer than that could tie
//      or change places. w = u + (4D + 16)v.
//   7. In scaled = row * inverse_scale the factor and the product round, by 2.01u|row|; scaled - n is exact
//      (a multiple of an ulp of scaled); its sum of squares and that of n have 16 lanes of (D/16 + 16)u.
// So with
//   norm_q = reach_p              residual_y = r_y + 25u h_y (float32: (g + 4u) reach_y)
//   residual_q = r_q + 20u reach_p + 6u|a| + w|z| (float32: w|z|)   norm_y = h_y
//   extra_q = w |z||c| (l2: w|z|^2/2)         extra_y = 0 (l2: (4u + w/2) h_y^2)
// each rounded up by more than float32 and float64 can err, the rank value lies within s' +- (norm_q
// residual_y + residual_q norm_y + extra_y + extra_q) of t's scale, and a key whose upper end is below the
// k-th largest lower end has a canonical score strictly below k others.
//
// With axes A instead of the rotation: the orthogonal factor R of A = U S V^T, U V^T, has |Ay - Ry| <= f |y|
// where f is at least the 2-norm of A A^T - 1. So item 3 holds for it with axes_error (AxesRotation::error)
// in place of 16.01u; it is added to both residuals. Of the head's dimensions h alone, and the others t,
//   |p.y - (n_qh.n_yh) s_q s_y| <= norm_q residual_y + residual_q norm_y + |(Rp)_t||(Ry)_t|,
// as item 3 holds for parts of the same vectors. The computed norm of a tail errs by axes_error of the whole,
// item 1 included, but for the float64 errors there, which w has room for once more.
//
// In place (c = 0, y' = x) products are summed in 4 lanes or more: D/4 + 16 instead of D in g. The pass
// itself sums up |x|^2, which errs by s = (D/4 + 16)u: h_y = |x| is rounded up by s, and bias errs by
// 0.75s |x|^2 more, in extra_y. For cosine the scale is 1/|x|, so that h_y = 1 and residual_y = g + 4u +
// 0.75s.
//
// Underflow: a product, a score or a bias that is too small for float32 errs by at most 2^-150, fewer than
// D + 16 times: `underflow_`. What underflows before it is multiplied is far below `kTiny`, and both factors
// are larger than that. Norms above kNormLimit, where float32 could overflow, and non-finite rows never
// enter the pass: their keys are always scored canonically.
#pragma once
#include <vector>

#include "kernels/canonical.h"
#include "kernels/isa.h"

namespace fastret::cpu {

constexpr double kNormLimit = 1e18;
constexpr double kNothingBelow = 1e-30;  // rows whose every element is smaller become integers 0

// The largest D whose bound and whose int32 sums hold.
constexpr int64_t dim_limit(FirstPass pass) {
  return pass == FirstPass::float32 ? 1 << 20 : 1 << 16;
}

// Whether a row of this canonical square can take part in the pass (NaN: no).
inline bool fits_first_pass(double square) {
  return square <= kNormLimit * kNormLimit;
}

// A row as integers: |scale * n|, rounded up, and r: the distance of scale * n from the row that was rotated,
// as measured.
struct Integers {
  double scale = 1, norm = 0, residual = 0;
};

struct KeyBounds {
  float scale, residual, norm, component, offset;
};

struct QueryBounds {
  QueryFacts facts;
  double extra;
};

class ErrorBound {
 public:
  ErrorBound(Metric metric, FirstPass pass, int64_t dim, double centre_norm);
  // Of an int8 pass whose rotation errs by axes_error of the norm (AxesRotation::error).
  static ErrorBound with_axes(Metric metric, int64_t dim, double centre_norm, double axes_error);
  // Of a float32 pass over rows as they are, c = 0, that sums up the squares of the keys itself.
  static ErrorBound in_place(Metric metric, int64_t dim);

  KeyBounds key(const Centred& centred, const Integers& integers) const;
  // In place: whether float32 tells the norm of a key of this square; else the key is unbounded.
  bool fits_in_place(float square) const { return fits_first_pass(square) && square >= least_square_; }
  // In place: the facts of a panel of keys of these squares, which mean nothing for those that do not fit.
  void keys_in_place(const float* squares, float* facts) const;
  // With axes, for a row whose dimensions beyond the head have norm |y_t| or |p_t|. The head's upper end is
  // that of all dimensions with these instead of the facts: norm_q residual_y + |p_t||y_t| <= head_norm_q
  // head_residual_y by the inequality of Cauchy and Schwarz, for any weight.
  float head_residual(const KeyBounds& bounds, double tail_norm) const;
  float head_norm(const QueryBounds& bounds, double tail_norm) const;
  // A query of these |z| and |p'|, and a.
  QueryBounds query(double centred_norm, double projected_norm, float component,
                    const Integers& integers) const;
  // Half the width of the interval of a key with these facts.
  double half_width(const QueryBounds& query, float residual, float norm) const {
    return double(query.facts.norm) * residual +
           (double(query.facts.residual) + squared_extra_ * norm) * norm + underflow_ + query.extra;
  }

 private:
  double query_extra(double centred_norm) const;

  Metric metric_;
  FirstPass pass_;
  double centre_norm_, dot_, canonical_, underflow_;
  double squared_extra_;  // extra_y / h_y^2
  double axes_error_ = 0;
  double square_slack_ = 0;  // in place: the relative error of a square
  double least_square_ = 0;
};

// The integers of a rotated, padded row as target[d] + shift. `levels` as of Primitives.
Integers quantise_row(const Primitives& isa, FirstPass pass, const float* row, int64_t dim, int levels,
                      int shift, void* target);

}  // namespace fastret::cpu
