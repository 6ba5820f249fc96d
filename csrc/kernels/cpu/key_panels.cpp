#include "kernels/cpu/key_panels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"

namespace fastret::cpu {
namespace {

constexpr int kKeyLevels[] = {0, 32767, 127};
constexpr int kInt8Shift = 128;  // int8 keys are stored as bytes from 1 to 255
// A place without a key in the pass has an offset, and so an upper end, of -inf: no threshold lets it
// through. Its scale says why it is empty.
constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr float kNoKey = 0, kUnbounded = -1;

double unit_scale(Metric metric, double square) {
  if (metric != Metric::cosine) return 1.0;
  return square > 0 ? 1.0 / std::sqrt(square) : 0.0;
}

}  // namespace

void list_unbounded(const float* facts, int64_t first_key, std::vector<int64_t>& keys) {
  for (int i = 0; i < kPanelKeys; ++i)
    if (facts[i] == kUnbounded) keys.push_back(first_key + i);
}

Frame sample_frame(const Rows& keys, Metric metric) {
  constexpr int64_t kSample = 1024;
  const int64_t stride = std::max<int64_t>(1, keys.rows / kSample);
  RowReader reader(keys, 1);
  std::vector<double> sums(size_t(keys.dim), 0.0);
  int64_t count = 0;
  for (int64_t row = 0; row < keys.rows; row += stride) {
    const float* x = reader.read(row, 0);
    const double square = canonical_square(x, keys.dim);
    if (!fits_first_pass(square)) continue;
    const double scale = unit_scale(metric, square);
    for (int64_t d = 0; d < keys.dim; ++d) sums[size_t(d)] += x[d] * scale;
    ++count;
  }
  Frame frame{std::vector<float>(size_t(keys.dim), 0.0f), std::vector<float>(size_t(keys.dim), 0.0f)};
  if (count == 0) return frame;
  double square = 0;
  for (size_t d = 0; d < sums.size(); ++d) {
    frame.centre[d] = float(sums[d] / double(count));
    square += double(frame.centre[d]) * frame.centre[d];
  }
  const double norm = std::sqrt(square);
  if (norm > kNothingBelow)
    for (size_t d = 0; d < sums.size(); ++d) frame.direction[d] = float(frame.centre[d] / norm);
  return frame;
}

namespace {

void write_facts(const KeyBounds& bounds, int i, float* facts) {
  facts[i] = bounds.scale;
  facts[kPanelKeys + i] = bounds.residual;
  facts[2 * kPanelKeys + i] = bounds.norm;
  facts[3 * kPanelKeys + i] = bounds.component;
  facts[4 * kPanelKeys + i] = bounds.offset;
}

}  // namespace

uint32_t in_place_facts(const ErrorBound& bound, const float* squares, int size, float* facts) {
  bound.keys_in_place(squares, facts);
  uint32_t unbounded = 0;
  for (int i = 0; i < size; ++i) unbounded |= uint32_t(!bound.fits_in_place(squares[i])) << i;
  for (int i = 0; unbounded && i < size; ++i)
    if (unbounded >> i & 1) write_facts({kUnbounded, 0, 0, 0, kNever}, i, facts);
  for (int i = size; i < kPanelKeys; ++i) write_facts({kNoKey, 0, 0, 0, kNever}, i, facts);
  return unbounded;
}

ErrorBound bound_of(Metric metric, FirstPass pass, int64_t dim, const float* centre,
                    const PrincipalAxes* principal) {
  const double centre_norm = std::sqrt(canonical_square(centre, dim));
  if (!principal) return ErrorBound(metric, pass, dim, centre_norm);
  return ErrorBound::with_axes(metric, dim, centre_norm, AxesRotation::error(dim, principal->defect));
}

double norm_beyond(const float* row, int64_t head, int64_t dim) {
  double square = 0;
  for (int64_t d = head; d < dim; ++d) square += double(row[d]) * row[d];
  return std::sqrt(square);
}

KeyPacker::KeyPacker(const Primitives& isa, const Rows& keys, Metric metric, FirstPass pass,
                     const float* centre, const float* direction, const PrincipalAxes* principal)
    : isa_(isa),
      reader_(keys, kRowsPerCall),
      rows_(keys.rows),
      dim_(keys.dim),
      metric_(metric),
      pass_(pass),
      centre_(centre),
      direction_(direction),
      head_(principal ? principal->head : keys.dim),
      bound_(bound_of(metric, pass, keys.dim, centre, principal)),
      centred_(size_t(kPanelKeys * padded_dim(keys.dim)), 0.0f),
      quantised_row_(padded_dim(keys.dim) / dims_per_step(pass)) {
  if (principal) axes_.emplace(isa, *principal, keys.dim);
  if (pass != FirstPass::float32) quantised_.resize(size_t(kPanelKeys * quantised_row_));
}

int KeyPacker::pack(int64_t number, void* panel, float* facts, float* head_residuals, void* tails) {
  const int64_t first = number * kPanelKeys, padded = padded_dim(dim_);
  int unbounded = 0;
  bool present[kPanelKeys] = {};
  for (int i = 0; i < kPanelKeys; i += kRowsPerCall) {
    const float* sources[kRowsPerCall];
    for (int r = 0; r < kRowsPerCall; ++r)  // past the end the last key stands in
      sources[r] = reader_.read(std::min(first + i + r, rows_ - 1), r);
    double squares[kRowsPerCall];
    isa_.canonical_squares(sources, nullptr, dim_, squares);
    for (int r = 0; r < kRowsPerCall; ++r) {
      const bool exists = first + i + r < rows_ && !std::isnan(squares[r]);
      present[i + r] = exists && fits_first_pass(squares[r]);
      unbounded += exists && !present[i + r];
      if (present[i + r])
        sums_[i + r] = isa_.centre_row(sources[r], unit_scale(metric_, squares[r]), centre_, direction_, dim_,
                                       centred_.data() + (i + r) * padded);
      else
        leave_out(exists ? kUnbounded : kNoKey, i + r, facts);
    }
  }
  if (axes_)
    for (int64_t i = 0; i < kPanelKeys; i += axes_->max_rows())
      axes_->rotate(centred_.data() + i * padded, std::min(axes_->max_rows(), kPanelKeys - i), padded);
  const int32_t* rows[kPanelKeys];
  if (head_residuals) std::fill_n(head_residuals, kPanelKeys, 0.0f);
  for (int i = 0; i < kPanelKeys; ++i) {
    if (present[i]) pack_key(i, facts, head_residuals);
    rows[i] = pass_ == FirstPass::float32 ? reinterpret_cast<const int32_t*>(centred_.data() + i * padded)
                                          : quantised_.data() + i * quantised_row_;
  }
  const int64_t head_steps = panel_steps(pass_, head_);
  isa_.pack_panel(rows, head_steps, static_cast<int32_t*>(panel));
  if (tails) {
    for (const int32_t*& row : rows) row += head_steps;
    isa_.pack_panel(rows, panel_steps(pass_, dim_) - head_steps, static_cast<int32_t*>(tails));
  }
  return unbounded;
}

void KeyPacker::pack_key(int i, float* facts, float* head_residuals) {
  float* row = centred_.data() + i * padded_dim(dim_);
  Integers integers;
  if (pass_ != FirstPass::float32) {
    if (!axes_) isa_.rotate(row, dim_);
    integers =
        quantise_row(isa_, pass_, row, dim_, kKeyLevels[int(pass_)],
                     pass_ == FirstPass::int8 ? kInt8Shift : 0, quantised_.data() + i * quantised_row_);
  }
  const KeyBounds bounds = bound_.key(sums_[i], integers);
  write_facts(bounds, i, facts);
  if (head_residuals) head_residuals[i] = bound_.head_residual(bounds, norm_beyond(row, head_, dim_));
}

void KeyPacker::leave_out(float reason, int i, float* facts) {
  std::fill_n(centred_.data() + i * padded_dim(dim_), padded_dim(dim_), 0.0f);
  if (pass_ != FirstPass::float32) {
    const uint8_t byte = pass_ == FirstPass::int8 ? kInt8Shift : 0;
    std::fill_n(reinterpret_cast<uint8_t*>(quantised_.data() + i * quantised_row_), quantised_row_ * 4, byte);
  }
  write_facts({reason, 0, 0, 0, kNever}, i, facts);
}

void key_frame(const Rows& keys, Metric metric, float* centre, float* direction) {
  const DefaultFloatEnvironment environment;
  const Frame frame = sample_frame(keys, metric);
  std::copy(frame.centre.begin(), frame.centre.end(), centre);
  std::copy(frame.direction.begin(), frame.direction.end(), direction);
}

void pack_keys(const PackKeysParams& p, const Parallel& parallel) {
  const int64_t all_bytes = panel_bytes(p.first_pass, p.keys.dim);
  const int64_t bytes = p.principal ? panel_bytes(p.first_pass, p.principal->head) : all_bytes;
  parallel(num_panels(p.keys.rows) - p.first_panel, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    KeyPacker packer(primitives(), p.keys, p.metric, p.first_pass, p.centre, p.direction, p.principal);
    for (int64_t panel = p.first_panel + begin; panel < p.first_panel + end; ++panel) {
      char* tails = p.principal ? static_cast<char*>(p.tails) + panel * (all_bytes - bytes) : nullptr;
      packer.pack(panel, static_cast<char*>(p.panels) + panel * bytes, p.facts + panel * kFactsPerPanel,
                  p.principal ? p.head_residuals + panel * kPanelKeys : nullptr, tails);
    }
  });
}

}  // namespace fastret::cpu
