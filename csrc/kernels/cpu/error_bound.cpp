#include "kernels/cpu/error_bound.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

namespace fastret::cpu {
namespace {

constexpr double kU = 0x1p-24, kV = 0x1p-53;
// Bounds are computed in float64 and stored in float32: rounded up by more than both can err.
constexpr double kRoundUp = 1 + 0x1p-20;
constexpr double kTiny = 0x1p-120;
constexpr double kKeyReach = 0x1p-29, kQueryReach = 0x1p-28;

float up(double value) {
  return float(value * kRoundUp + kTiny);
}

}  // namespace

ErrorBound::ErrorBound(Metric metric, FirstPass pass, int64_t dim, double centre_norm)
    : metric_(metric), pass_(pass), centre_norm_(centre_norm) {
  const double steps = double(dim + 2);
  dot_ = steps * kU / (1 - steps * kU) + 8 * kU;
  canonical_ = (1 + 0x1p-10) * (kU + (2 * double(dim) + 8) * 2 * kV);
  underflow_ = 8 * (double(dim) + 8) * FLT_MIN;
  squared_extra_ = metric == Metric::l2 ? (6 * kU + 1.1 * canonical_) * kRoundUp : 0.0;
}

KeyBounds ErrorBound::key(double norm, const Centred& centred, const Integers& integers) const {
  const double reach = std::sqrt(centred.square) * kRoundUp + kKeyReach * (norm + centre_norm_);
  const double reached = std::max(reach, integers.norm);
  const double residual =
      pass_ == FirstPass::float32 ? dot_ * reach : integers.residual + 21.1 * kU * reach + 12 * kU * reached;
  KeyBounds bounds;
  bounds.scale = float(integers.scale);
  bounds.residual = up(residual);
  bounds.norm = up(reached);
  bounds.component = pass_ == FirstPass::float32 ? 0.0f : float(centred.component);
  const double bias = metric_ == Metric::l2 ? -centred.square / 2 : 0.0;
  bounds.offset = float(bias + squared_extra_ * reach * reach + underflow_);
  return bounds;
}

QueryBounds ErrorBound::query(double norm, double centred_norm, double projected_norm, float component,
                              const Integers& integers) const {
  const double reach = projected_norm * kRoundUp + kQueryReach * (norm + centre_norm_);
  const double canonical = metric_ == Metric::l2 ? 0.0 : canonical_ * norm;
  const double rounding = pass_ == FirstPass::float32 ? 0.0 : integers.residual + 21.1 * kU * reach;
  QueryBounds bounds;
  bounds.facts.scale = float(integers.scale);
  bounds.facts.norm = up(reach * (1 + 8 * kU));
  bounds.facts.residual = up(rounding + 32 * kU * std::abs(double(component)) + canonical);
  bounds.facts.component = component;
  bounds.extra = query_extra(norm, centred_norm);
  return bounds;
}

double ErrorBound::query_extra(double norm, double centred_norm) const {
  if (metric_ != Metric::l2) return canonical_ * norm * centre_norm_ * kRoundUp;
  const double reach = centred_norm * kRoundUp + kQueryReach * (norm + centre_norm_);
  return 1.1 * canonical_ * reach * reach * kRoundUp;
}

Integers quantise_row(const Primitives& isa, FirstPass pass, const float* row, int64_t dim, int levels,
                      int shift, void* target) {
  const double largest = isa.largest(row, dim);
  const double slack = double(dim / 16 + 16) * 2 * kU;
  Integers integers;
  double row_norm = largest * std::sqrt(double(dim)) * kRoundUp;
  if (largest < kNothingBelow) {
    const size_t element_bytes = pass == FirstPass::int16 ? 2 : 1;
    std::memset(target, shift, size_t(padded_dim(dim)) * element_bytes);
    integers.scale = 0;
    integers.residual = row_norm;
    return integers;
  }
  double scale = largest / levels;
  if (pass == FirstPass::int16) {
    // The sum of products of two rows stays below 2^31 by their norms: sqrt(2^31) = 46340.
    double sum = 0;
    for (int64_t d = 0; d < dim; ++d) sum += double(row[d]) * row[d];
    scale = std::max(scale, std::sqrt(sum) / 45900);
  }
  const float stored_scale = float(scale * kRoundUp);
  const float inverse_scale = 1 / stored_scale;
  const Quantised quantised = isa.quantise(pass, row, dim, inverse_scale, shift, target);
  const double norm = std::sqrt(quantised.norm_square * (1 + slack)),
               residual = std::sqrt(quantised.residual_square * (1 + slack));
  integers.scale = stored_scale;
  integers.norm = norm * stored_scale;
  // |row| <= |scale n| + the residual, which is small beside it.
  row_norm = std::min(row_norm, (norm + residual) * stored_scale * kRoundUp);
  integers.residual = residual * stored_scale + 2.1 * kU * row_norm;
  return integers;
}

}  // namespace fastret::cpu
