#include "kernels/cpu/first_pass.h"

#include <algorithm>
#include <cfloat>
#include <limits>

namespace fastret::cpu {
namespace {

constexpr double kU = 0x1p-24, kV = 0x1p-53;
// Norms are computed in float64 and stored in float32: rounded up by more than both can err.
constexpr double kRoundUp = 1 + 0x1p-20;
// 4v(|x| + |c|) of item 2 against the 8u|x'| that every slope carries.
constexpr double kCentringError = 0x1p-29;

double scale_of(Metric metric, double square) {
  if (metric != Metric::cosine) return 1.0;
  return square > 0 ? 1.0 / std::sqrt(square) : 0.0;
}

}  // namespace

ErrorBound::ErrorBound(Metric metric, int64_t dim, double centre_norm)
    : metric_(metric), centre_norm_(centre_norm) {
  const double steps = double(dim + 2);
  dot_ = steps * kU / (1 - steps * kU) + 8 * kU;
  canonical_ = (1 + 0x1p-10) * (kU + (2 * double(dim) + 8) * 2 * kV);
  underflow_ = 8 * (double(dim) + 8) * FLT_MIN;
}

float ErrorBound::query_norm(double norm, double centred_norm) const {
  const double exact = metric_ == Metric::l2 ? centred_norm + kCentringError * (norm + centre_norm_) : norm;
  return float(exact * kRoundUp + FLT_MIN);
}

double ErrorBound::query_extra(float query_norm) const {
  return metric_ == Metric::l2 ? 1.1 * canonical_ * query_norm * query_norm : 0.0;
}

double ErrorBound::slope(double norm, double centred_norm) const {
  const double reach = centred_norm + kCentringError * (norm + centre_norm_);
  const double canonical = metric_ == Metric::l2 ? 0.0 : canonical_ * norm;
  return (reach * dot_ + canonical) * kRoundUp + FLT_MIN;
}

double ErrorBound::extra(double norm, double centred_norm) const {
  const double reach = centred_norm + kCentringError * (norm + centre_norm_);
  const double squared = metric_ == Metric::l2 ? (5 * kU + 1.1 * canonical_) * reach * reach : 0.0;
  return squared * kRoundUp + underflow_;
}

KeyBlock::KeyBlock(const Primitives& isa, const SearchParams& params, const std::vector<float>& centre,
                   const ErrorBound& bound, int64_t max_keys)
    : isa_(isa),
      reader_(params.keys, kRowsPerCall),
      metric_(params.metric),
      dim_(params.keys.dim),
      centre_(centre),
      bound_(bound) {
  const size_t slots = size_t((max_keys + isa_.tile_keys - 1) / isa_.tile_keys * isa_.tile_keys);
  panels_.resize(slots * size_t(dim_));
  slopes_.resize(slots);
  offsets_.resize(slots);
  extras_.resize(slots);
  centred_.resize(size_t(isa_.tile_keys * dim_));
}

void KeyBlock::pack(int64_t begin, int64_t end, std::vector<int64_t>& unbounded) {
  begin_ = begin;
  end_ = end;
  const float* rows[kMaxTileKeys];
  for (int i = 0; i < isa_.tile_keys; ++i) rows[i] = centred_.data() + i * dim_;

  for (int64_t p = 0; p < num_panels(); ++p) {
    for (int i = 0; i < isa_.tile_keys; i += kRowsPerCall) {
      const float* sources[kRowsPerCall];
      for (int r = 0; r < kRowsPerCall; ++r)  // past the end the last key stands in
        sources[r] = reader_.read(std::min(first_key(p) + i + r, end - 1), r);
      double squares[kRowsPerCall];
      isa_.canonical_squares(sources, dim_, squares);
      for (int r = 0; r < kRowsPerCall; ++r) {
        const int64_t key = first_key(p) + i + r;
        const size_t slot = size_t(p * isa_.tile_keys + i + r);
        float* target = centred_.data() + (i + r) * dim_;
        if (key < end && fits_first_pass(squares[r])) {
          const double square =
              isa_.centre_row(sources[r], scale_of(metric_, squares[r]), centre_.data(), dim_, target);
          const double norm = metric_ == Metric::cosine ? 1.0 : std::sqrt(squares[r]);
          const double centred_norm = std::sqrt(square) * kRoundUp;
          slopes_[slot] = float(bound_.slope(norm, centred_norm));
          extras_[slot] = bound_.extra(norm, centred_norm);
          const double bias = metric_ == Metric::l2 ? -square / 2 : 0.0;
          offsets_[slot] = float(bias + extras_[slot]);
        } else {
          std::fill(target, target + dim_, 0.0f);
          slopes_[slot] = 0;
          extras_[slot] = 0;
          offsets_[slot] = -std::numeric_limits<float>::infinity();
          if (key < end && !std::isnan(squares[r])) unbounded.push_back(key);
        }
      }
    }
    isa_.pack_panel(rows, dim_, panels_.data() + size_t(p * isa_.tile_keys * dim_));
  }
}

std::vector<float> sample_centre(const Rows& keys, Metric metric) {
  constexpr int64_t kSample = 512;
  const int64_t stride = std::max<int64_t>(1, keys.rows / kSample);
  RowReader reader(keys, 1);
  std::vector<double> sums(size_t(keys.dim), 0.0);
  int64_t count = 0;
  for (int64_t row = 0; row < keys.rows; row += stride) {
    const float* x = reader.read(row, 0);
    const double square = canonical_square(x, keys.dim);
    if (!fits_first_pass(square)) continue;
    const double scale = scale_of(metric, square);
    for (int64_t d = 0; d < keys.dim; ++d) sums[size_t(d)] += x[d] * scale;
    ++count;
  }
  std::vector<float> centre(size_t(keys.dim), 0.0f);
  if (count)
    for (size_t d = 0; d < centre.size(); ++d) centre[d] = float(sums[d] / double(count));
  return centre;
}

}  // namespace fastret::cpu
