// The float32 first pass of a certified search: what is scored, and how far each score may be from the truth.
//
// Keys are centred at a vector c (any c is valid; the mean of a sample makes norms, and so errors, small),
// and for cosine scaled to unit norm first. With x' = float32(x - c) the pass computes s' = float32(q . x' +
// bias) for
//   inner product  t = q.x - q.c                         bias = 0         (q, x as given)
//   cosine         t = q.(x/|x|) - q.c = |q| cos - q.c   bias = 0         (t grows with the score)
//   l2             t = (q-c).(x-c) - |x-c|^2/2           bias = -|x'|^2/2 (2t = |q-c|^2 - distance)
// Let u = 2^-24, v = 2^-53, g = gamma_{D+2} = (D+2)u / (1 - (D+2)u), and n = |q| (|q'| for l2).
//   1. The float32 dot product errs by at most g n|x'|, adding the bias by u(n|x'| + |bias|).
//   2. Rounding x - c to float32 errs by at most u|x'| per vector, and its float64 arithmetic by 4v(|x| +
//   |c|).
//   3. The canonical score rounds twice, in float64 by at most (2D+8)v and to float32 by u, both relative to
//   |q||x|
//      (cosine: to |q|; l2: to |q-x|^2 <= 2|q-c|^2 + 2|x-c|^2). Keys closer than that could tie or change
//      places.
//   4. Evaluating the bound itself in float32 errs by at most 3u times its parts.
// So the rank value lies within s' +- (n slope + extra + query_extra) of t's scale, and a key whose upper end
// is below the k-th largest lower end has a canonical score strictly below k others. Norms above kNormLimit,
// where float32 could overflow, and non-finite rows never enter the pass: their keys are always scored
// exactly.
#pragma once
#include <cmath>
#include <vector>

#include "kernels/cpu/rows.h"

namespace fastret::cpu {

constexpr double kNormLimit = 1e18;
constexpr int64_t kDimLimit = 1 << 20;  // beyond it gamma_D says too little

struct ErrorBound {
  ErrorBound(Metric metric, int64_t dim, double centre_norm);

  // |q| for the bound, and a summand that only depends on the query.
  float query_norm(double norm, double centred_norm) const;
  double query_extra(float query_norm) const;
  // For a key of norm |x| (1 for cosine) and centred norm |x'|: see above.
  double slope(double norm, double centred_norm) const;
  double extra(double norm, double centred_norm) const;

 private:
  Metric metric_;
  double centre_norm_, dot_, canonical_, underflow_;
};

// Some keys, centred and packed in panels, with their bounds.
class KeyBlock {
 public:
  // `isa` is the caller's: the panels have its layout.
  KeyBlock(const Primitives& isa, const SearchParams& params, const std::vector<float>& centre,
           const ErrorBound& bound, int64_t max_keys);

  // Packs keys [begin, end). Keys whose every score is NaN are left out; those that the pass cannot hold are
  // appended to `unbounded`.
  void pack(int64_t begin, int64_t end, std::vector<int64_t>& unbounded);

  int64_t num_panels() const { return (end_ - begin_ + isa_.tile_keys - 1) / isa_.tile_keys; }
  int64_t first_key(int64_t panel) const { return begin_ + panel * isa_.tile_keys; }
  const float* panel(int64_t p) const { return panels_.data() + size_t(p * isa_.tile_keys * dim_); }
  const float* slopes(int64_t p) const { return slopes_.data() + p * isa_.tile_keys; }
  const float* offsets(int64_t p) const { return offsets_.data() + p * isa_.tile_keys; }
  // Half the width of key i's interval in panel p.
  double half_width(int64_t p, int i, float query_norm) const {
    const size_t at = size_t(p * isa_.tile_keys + i);
    return double(query_norm) * slopes_[at] + extras_[at];
  }

 private:
  const Primitives& isa_;
  RowReader reader_;
  Metric metric_;
  int64_t dim_;
  const std::vector<float>& centre_;
  const ErrorBound& bound_;
  int64_t begin_ = 0, end_ = 0;
  std::vector<float> panels_, slopes_, offsets_, centred_;
  std::vector<double> extras_;
};

// The mean of a sample of the keys (for cosine: of their unit vectors), ignoring rows that the pass cannot
// hold.
std::vector<float> sample_centre(const Rows& keys, Metric metric);

// Whether a row of this canonical square can take part in the pass (NaN: no).
inline bool fits_first_pass(double square) {
  return square <= kNormLimit * kNormLimit;
}

}  // namespace fastret::cpu
