// From the first pass's t to rank values and back, for one query: see error_bound.h for what t is.
#pragma once
#include <cmath>

#include "kernels/cpu/query_block.h"

namespace fastret::cpu {

class ValueScale {
 public:
  ValueScale(const KeySet& keys, const float* query, double query_square)
      : metric_(keys.metric), norm_(std::sqrt(query_square)) {
    double sum = 0, magnitude = 0;
    for (int64_t d = 0; d < keys.rows.dim; ++d) {
      const double c = keys.frame.centre[size_t(d)];
      const double term = metric_ == Metric::l2 ? (query[d] - c) * (query[d] - c) : query[d] * c;
      sum += term;
      magnitude += std::abs(term);
    }
    shift_ = sum;
    // D + 3 roundings of the sum, and those of the conversions.
    slack_ = magnitude * (double(keys.rows.dim) + 16) * 0x1p-52 + 0x1p-1000;
  }

  // |z|, for l2 only.
  double centred_norm() const { return metric_ == Metric::l2 ? std::sqrt(shift_ + slack_) : norm_; }

  // No less than the rank value of any key whose t, with the canonical score's rounding, is at most `t`.
  double value_above(double t) const {
    const double reach = std::abs(t) * 0x1p-50 + slack_;
    if (metric_ == Metric::l2) return 2 * (t + reach) - shift_;
    const double product = t + shift_ + reach;
    if (metric_ == Metric::inner_product) return product;
    return norm_ > 0 ? product / norm_ + std::abs(product / norm_) * 0x1p-50 : 0.0;
  }

  // No more than the t of any key whose rank value is at least `value`.
  double t_below(double value) const {
    double t;
    if (metric_ == Metric::l2)
      t = (value + shift_) / 2;
    else if (metric_ == Metric::inner_product)
      t = value - shift_;
    else
      t = value * norm_ - shift_;
    return t - std::abs(value) * (metric_ == Metric::cosine ? norm_ : 1.0) * 0x1p-50 - slack_;
  }

 private:
  Metric metric_;
  double norm_, shift_, slack_;
};

}  // namespace fastret::cpu
