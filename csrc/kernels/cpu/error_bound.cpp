#include "kernels/cpu/error_bound.h"

#include <algorithm>
#include <cmath>

namespace fastret::cpu {
namespace {

constexpr double kU = 0x1p-24, kV = 0x1p-53;
// Bounds are computed in float64 and stored in float32: rounded up by more than both can err.
constexpr double kRoundUp = 1 + 0x1p-20;
constexpr double kTiny = 0x1p-120;
constexpr double kLeastSquare = 1e-24;  // in place: what underflowed in a square weighs nothing beside this

constexpr double kHeadWeight = 8;  // near the best where residuals are a hundredth of the norm

float up(double value) {
  return float(value * kRoundUp + kTiny);
}

// Of a float32 dot product whose every term goes through so many roundings.
double dot_error(double roundings) {
  return roundings * kU / (1 - roundings * kU) + 4 * kU;
}

}  // namespace

ErrorBound::ErrorBound(Metric metric, FirstPass pass, int64_t dim, double centre_norm)
    : metric_(metric), pass_(pass), centre_norm_(centre_norm) {
  const double to_float32 = metric == Metric::cosine ? kU / 2 : kU;
  dot_ = dot_error(double(dim));
  canonical_ = (1 + 0x1p-10) * (to_float32 + (4 * double(dim) + 16) * kV);
  underflow_ = (double(dim) + 16) * 0x1p-150;
  squared_extra_ = metric == Metric::l2 ? (4 * kU + canonical_ / 2) * kRoundUp : 0.0;
}

ErrorBound ErrorBound::with_axes(Metric metric, int64_t dim, double centre_norm, double axes_error) {
  ErrorBound bound(metric, FirstPass::int8, dim, centre_norm);
  bound.axes_error_ = axes_error;
  return bound;
}

float ErrorBound::head_residual(const KeyBounds& bounds, double tail_norm) const {
  const double tail = tail_norm * kRoundUp + axes_error_ * bounds.norm,
               weighted = kHeadWeight * bounds.residual;
  return up(std::sqrt(weighted * weighted + tail * tail));
}

float ErrorBound::head_norm(const QueryBounds& bounds, double tail_norm) const {
  const double tail = tail_norm * kRoundUp + axes_error_ * bounds.facts.norm;
  const double weighted = bounds.facts.norm / kHeadWeight;
  return up(std::sqrt(weighted * weighted + tail * tail));
}

ErrorBound ErrorBound::in_place(Metric metric, int64_t dim) {
  ErrorBound bound(metric, FirstPass::float32, dim, 0.0);
  const double roundings = double(dim) / 4 + 16;
  bound.dot_ = dot_error(std::min(roundings, double(dim)));
  bound.square_slack_ = roundings * kU;
  if (metric == Metric::l2) bound.squared_extra_ += 0.75 * bound.square_slack_ * kRoundUp;
  // A product that underflowed is multiplied by the scale of its key.
  if (metric == Metric::cosine) {
    bound.underflow_ /= std::sqrt(kLeastSquare);
    bound.least_square_ = kLeastSquare;
  }
  return bound;
}

// Loops without branches, which compilers vectorise: few queries wait for them.
void ErrorBound::keys_in_place(const float* squares, float* facts) const {
  float *scale = facts, *residual = facts + kPanelKeys, *norm = facts + 2 * kPanelKeys,
        *component = facts + 3 * kPanelKeys, *offset = facts + 4 * kPanelKeys;
  for (int i = 0; i < kPanelKeys; ++i) component[i] = 0;
  if (metric_ == Metric::cosine) {
    for (int i = 0; i < kPanelKeys; ++i) {
      scale[i] = float(1 / std::sqrt(double(squares[i])));
      residual[i] = up(dot_ + 0.75 * square_slack_);
      norm[i] = up(1);
      offset[i] = float(underflow_);
    }
    return;
  }
  const double inflation = (1 + 2 * square_slack_) * kRoundUp * kRoundUp;
  if (metric_ == Metric::inner_product) {
    // In float32, whose few roundings one more kRoundUp outweighs: scans of few queries feel this loop.
    const float least = up(kLeastSquare), reach = up(std::sqrt(inflation) * kRoundUp), dot = up(dot_);
    const float nothing = float(underflow_);
    for (int i = 0; i < kPanelKeys; ++i) {
      norm[i] = std::sqrt(std::max(squares[i], least)) * reach;
      residual[i] = norm[i] * dot;
      scale[i] = 1;
      offset[i] = nothing;
    }
    return;
  }
  for (int i = 0; i < kPanelKeys; ++i) {
    const double square = squares[i], reach_square = std::max(square, kLeastSquare) * inflation,
                 reach = std::sqrt(reach_square);
    scale[i] = 1;
    residual[i] = up(dot_ * reach);
    norm[i] = up(reach);
    offset[i] = float(-0.5 * square + squared_extra_ * reach_square + underflow_);
  }
}

KeyBounds ErrorBound::key(const Centred& centred, const Integers& integers) const {
  const double reach = std::sqrt(centred.square) * kRoundUp;
  const double reached = std::max(reach, integers.norm);
  KeyBounds bounds;
  bounds.scale = float(integers.scale);
  bounds.residual =
      up(pass_ == FirstPass::float32 ? dot_ * reach : integers.residual + (25 * kU + axes_error_) * reached);
  bounds.norm = up(reached);
  bounds.component = pass_ == FirstPass::float32 ? 0.0f : float(centred.component);
  const double bias = metric_ == Metric::l2 ? -centred.square / 2 : 0.0;
  bounds.offset = float(bias + squared_extra_ * reach * reach + underflow_);
  return bounds;
}

QueryBounds ErrorBound::query(double centred_norm, double projected_norm, float component,
                              const Integers& integers) const {
  const double reach = projected_norm * kRoundUp;
  const double rounding =
      pass_ == FirstPass::float32 ? 0.0 : integers.residual + (20 * kU + axes_error_) * reach;
  QueryBounds bounds;
  bounds.facts.scale = float(integers.scale);
  bounds.facts.norm = up(reach * (1 + axes_error_));
  bounds.facts.residual = up(rounding + 6 * kU * std::abs(double(component)) + canonical_ * centred_norm);
  bounds.facts.component = component;
  bounds.extra = query_extra(centred_norm);
  return bounds;
}

double ErrorBound::query_extra(double centred_norm) const {
  const double other = metric_ == Metric::l2 ? centred_norm / 2 : centre_norm_;
  return canonical_ * centred_norm * other * kRoundUp;
}

Integers quantise_row(const Primitives& isa, FirstPass pass, const float* row, int64_t dim, int levels,
                      int shift, void* target) {
  const double largest = isa.largest(row, dim);
  const double slack = double(dim / 16 + 16) * 2 * kU;
  Integers integers;
  if (largest < kNothingBelow) {
    const size_t element_bytes = pass == FirstPass::int16 ? 2 : 1;
    std::fill_n(static_cast<uint8_t*>(target), size_t(padded_dim(dim)) * element_bytes, uint8_t(shift));
    integers.scale = 0;
    integers.residual = largest * std::sqrt(double(dim));
    return integers;
  }
  double scale = largest / levels;
  if (pass == FirstPass::int16) {
    // The sum of products of two rows stays below 2^31 by their norms: sqrt(2^31) = 46340.
    double sum = 0;
    for (int64_t d = 0; d < dim; ++d) sum += double(row[d]) * row[d];
    scale = std::max(scale, std::sqrt(sum) / 45900);
  }
  // Rounded up, so that no element rounds to more than `levels`.
  const float stored_scale = float(scale * kRoundUp);
  const float inverse_scale = 1 / stored_scale;
  const Quantised quantised = isa.quantise(pass, row, dim, inverse_scale, shift, target);
  integers.scale = stored_scale;
  integers.norm = std::sqrt(quantised.norm_square * (1 + slack)) * stored_scale;
  integers.residual = std::sqrt(quantised.residual_square * (1 + slack)) * stored_scale;
  return integers;
}

}  // namespace fastret::cpu
