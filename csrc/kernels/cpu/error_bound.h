// How far a score of the first pass may be from the truth: the proof that certified search rests on, with
// every rounding step. docs/certified-search.md tells the same with less algebra.
//
// What is scored. Keys are centred at a vector c and, for cosine, scaled to unit norm first: y = x - c, or
// x/|x| - c. Queries are z = q, for l2 z = q - c, and in an integer pass projected along a vector d of norm
// <= 1.01: p = z - a d with a float32 a near z.d. As p.y + a d.y = z.y for any c, d and a, none of them need
// be exact:
//   inner product  t = z.y = q.x - q.c
//   cosine         t = z.y = |q| cos - q.c              (grows with the score)
//   l2             t = z.y - |y|^2/2, 2t = |z|^2 - distance
// The pass computes s' = (n_q.n_y) s_q s_y + a m + bias, where n_q, n_y are the integers of the rotated p and
// y (rotation.h; float32 pass: p and y themselves, s = 1, a = 0), m = float32(d.y') and bias = -|y'|^2/2 for
// l2.
//
// Let u = 2^-24, v = 2^-53, g = (D+2)u / (1 - (D+2)u), primes for computed vectors, and
//   reach_y = |y'| + 2^-29 (|x| + |c|),  reach_p = |p'| + 2^-28 (|q| + |c|).
//   1. Centring rounds to float32, by u|y'|, after float64 arithmetic that errs by 4v(|x| + |c|):
//      |y' - y| <= 4u reach_y, and likewise |p' - p| <= 4u reach_p.
//   2. float32 pass: the dot product errs by g |z'||y'|; with item 1 for both sides, by (g + 8u) |z| reach_y.
//   3. Integer pass: the rotation R is orthogonal and its computed result errs by 17u of the norm. r_y >=
//   |Ry' - s_y n_y|
//      and r_q are measured (item 7), so that |Ry - s_y n_y| <= e_y = r_y + 21.1u reach_y, likewise e_q, and
//        |p.y - (n_q.n_y) s_q s_y| = |Rp.Ry - s_q n_q . s_y n_y| <= |p| e_y + e_q |s_y n_y|.
//      Integer sums are exact: int8 sums stay below 2^31 up to D = 65536, and int16 scales keep every norm
//      below 46340.
//   4. m errs by 4u reach_y of item 1, D v and its rounding: a m by 8u |a| reach_y.
//   5. The float32 evaluation of the upper end rounds each of its parts at most 10 times: 10u of |p| h_y +
//   e_q h_y +
//      |a| reach_y + |p| e_y, and of |bias| 5 times in 6u reach_y^2 together with items 1 and 5 for l2's
//      bias. h_y = max(|s_y n_y|, reach_y).
//   6. The canonical score rounds twice, in float64 by at most (2D+8)v and to float32 by u: w = u + (2D+8)2v
//   of
//      |q||x| <= |q|(|c| + reach_y) (cosine: |x| = 1; l2: of |q-x|^2/2 <= |z|^2 + |y|^2). Keys closer than
//      that could tie or change places.
//   7. The residual of scaled = row * inverse_scale is exact per element (both are multiples of an ulp of
//   scaled) up
//      to the two roundings of scaled, 2.1u |row|; its sum of squares and that of n have 16 lanes of (D/16 +
//      16)u.
// So with
//   norm_q = reach_p (1 + 8u)                 residual_y = e_y + 12u h_y
//   residual_q = e_q + 32u|a| + w|q|          norm_y = h_y
//   extra_q = w |q||c| (l2: 1.1w|z|^2)        extra_y = 0 (l2: (6u + 1.1w) h_y^2)
// each rounded up by more than float32 and float64 can err, the rank value lies within s' +- (norm_q
// residual_y + residual_q norm_y + extra_y + extra_q) of t's scale, and a key whose upper end is below the
// k-th largest lower end has a canonical score strictly below k others. Underflow: every product that is too
// small for float32 adds at most 2^-126; `kTiny` beside each factor and `underflow_` beside the sum are more
// than that. Norms above kNormLimit, where float32 could overflow, and non-finite rows never enter the pass:
// their keys are always scored canonically.
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

// A row as integers: |scale * n| and the distance of scale * n from the row that was rotated, both rounded
// up.
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

  // A key of norm |x| (1 for cosine), and its centred row.
  KeyBounds key(double norm, const Centred& centred, const Integers& integers) const;
  // A query of norm |q|, |z|, the projected row's norm |p'|, and a.
  QueryBounds query(double norm, double centred_norm, double projected_norm, float component,
                    const Integers& integers) const;
  // extra_q alone.
  double query_extra(double norm, double centred_norm) const;
  // Half the width of the interval of a key with these facts.
  double half_width(const QueryBounds& query, float residual, float norm) const {
    return double(query.facts.norm) * residual +
           (double(query.facts.residual) + squared_extra_ * norm) * norm + underflow_ + query.extra;
  }

 private:
  Metric metric_;
  FirstPass pass_;
  double centre_norm_, dot_, canonical_, underflow_;
  double squared_extra_;  // extra_y / h_y^2
};

// The integers of a rotated, padded row as target[d] + shift. `levels` as of Primitives.
Integers quantise_row(const Primitives& isa, FirstPass pass, const float* row, int64_t dim, int levels,
                      int shift, void* target);

}  // namespace fastret::cpu
