#include "kernels/cpu/level_pass.h"

#include <cmath>

#include "kernels/cpu/error_bound.h"

namespace fastret::cpu {
namespace {

constexpr double kU = 0x1p-24;

int level_bits(Codec codec) {
  switch (codec) {
    case Codec::bits4:
      return 4;
    case Codec::bits6:
      return 6;
    case Codec::bits8:
    case Codec::direct8:
    case Codec::direct8_signed:
      return 8;
    default:
      return 0;
  }
}

}  // namespace

bool LevelPass::applies(const InvertedLists& lists, Metric metric) {
  return metric != Metric::cosine && lists.dim > 0 && level_bits(lists.codec) > 0;
}

LevelPass::LevelPass(const InvertedLists& lists, Metric metric)
    : lists_(lists),
      squared_(metric == Metric::l2),
      bits_(applies(lists, metric) ? level_bits(lists.codec) : 0),
      row_bytes_(code_bytes(lists.codec, lists.dim)),
      score_levels_(score_levels()) {
  if (!applies()) return;
  const int64_t dim = lists.dim;
  const double top = (1 << bits_) - 1;
  for (auto* of_dimensions : {&base_, &step_, &magnitude_}) of_dimensions->resize(size_t(dim));
  double square = 0;
  for (int64_t d = 0; d < dim; ++d) {
    const double width = has_ranges(lists.codec) ? lists.ranges[dim + d] : top;
    const double least = has_ranges(lists.codec)                ? lists.ranges[d] + width / top / 2
                         : lists.codec == Codec::direct8_signed ? -128
                                                                : 0;
    base_[size_t(d)] = least;
    step_[size_t(d)] = width / top;
    // (top + 0.5) / top is at most 1.04; the base holds half a step.
    magnitude_[size_t(d)] = std::abs(least) + 1.1 * std::abs(width);
    square += width * width;
  }
  step_reach_ = 1.1 * std::sqrt(square);
  steps_.resize(size_t(dim));
  targets_.resize(size_t(squared_ ? dim : 0));
}

bool LevelPass::aim(const float* query, double query_square, int64_t list) {
  const int64_t dim = lists_.dim;
  const float* centroid = lists_.centroids ? lists_.centroids + list * dim : nullptr;
  double product = 0, target_square = 0, magnitude_square = 0;
  for (int64_t d = 0; d < dim; ++d) {
    const double part = centroid ? centroid[d] : 0, base = base_[size_t(d)] + part;
    const double magnitude = magnitude_[size_t(d)] + std::abs(part), target = query[d] - base;
    magnitude_square += magnitude * magnitude;
    if (squared_) {
      target_square += target * target;
      targets_[size_t(d)] = float(target);
      steps_[size_t(d)] = float(step_[size_t(d)]);
    } else {
      product += query[d] * base;
      steps_[size_t(d)] = float(query[d] * step_[size_t(d)]);
    }
  }
  if (!fits_first_pass(magnitude_square)) return false;
  start_ = squared_ ? query_square / 2 : product;
  const double norm = std::sqrt(query_square);
  const double magnitude = std::sqrt(magnitude_square) + kNothingBelow;
  const double reach = std::sqrt(target_square) + step_reach_;
  const double roundings = (double(dim) / 8 + 32) * kU, sum_error = roundings / (1 - roundings);
  // 16u is more than the other factors of each kind add up to.
  const double error =
      squared_ ? ((sum_error + 16 * kU) * reach + 16 * kU * magnitude) * reach / 2 + 8 * kU * query_square
               : (sum_error + 16 * kU) * norm * magnitude;
  error_ = float(error + (double(dim) + 16) * 0x1p-140);
  return true;
}

void LevelPass::score(int64_t first, int count, float* t) const {
  const LevelTerms terms{bits_, lists_.dim, steps_.data(), squared_ ? targets_.data() : nullptr};
  score_levels_(terms, lists_.codes + first * row_bytes_, row_bytes_, count, t);
  const float start = float(start_), share = squared_ ? -0.5f : 1.0f;
  for (int i = 0; i < count; ++i) t[i] = start + share * t[i];
}

}  // namespace fastret::cpu
