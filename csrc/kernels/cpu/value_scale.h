// From rank values to the first pass's t, for one query: see error_bound.h for what t is.
#pragma once
#include <cmath>

#include "kernels/cpu/query_block.h"

namespace fastret::cpu {

// A float32 below what arithmetic of this size came to.
inline float round_down(double value) {
  return float(value - std::abs(value) * 0x1p-22 - 0x1p-140);
}

class ValueScale {
 public:
  ValueScale() = default;
  ValueScale(const KeySet& keys, const Frame& frame, const float* query, double query_square)
      : metric_(keys.metric), norm_(std::sqrt(query_square)) {
    double sum = 0, magnitude = 0;
    for (int64_t d = 0; d < keys.rows.dim; ++d) {
      const double c = frame.centre[size_t(d)];
      const double term = metric_ == Metric::l2 ? (query[d] - c) * (query[d] - c) : query[d] * c;
      sum += term;
      magnitude += std::abs(term);
    }
    shift_ = sum;
    slack_ = slack(magnitude, keys.rows.dim);
  }

  // Of keys that are centred nowhere: c = 0.
  static ValueScale in_place(Metric metric, int64_t dim, double query_square) {
    ValueScale scale;
    scale.metric_ = metric;
    scale.norm_ = std::sqrt(query_square);
    scale.shift_ = metric == Metric::l2 ? query_square : 0;
    scale.slack_ = slack(scale.shift_, dim);
    return scale;
  }

  // No more than the t of any key whose rank value is at least `value`.
  double t_below(double value) const { return t_of(value, -1); }
  // No less than the t of any key whose rank value is at most `value`.
  double t_above(double value) const { return t_of(value, 1); }

 private:
  // D + 3 roundings of the sum, and those of the conversions.
  static double slack(double magnitude, int64_t dim) {
    return magnitude * (double(dim) + 16) * 0x1p-52 + 0x1p-1000;
  }

  double t_of(double value, int side) const {
    if (std::isinf(value)) return value;
    double t;
    if (metric_ == Metric::l2)
      t = (value + shift_) / 2;
    else if (metric_ == Metric::inner_product)
      t = value - shift_;
    else
      t = value * norm_ - shift_;
    return t + side * (std::abs(value) * (metric_ == Metric::cosine ? norm_ : 1.0) * 0x1p-50 + slack_);
  }

  Metric metric_ = Metric::inner_product;
  double norm_ = 0, shift_ = 0, slack_ = 0;
};

}  // namespace fastret::cpu
