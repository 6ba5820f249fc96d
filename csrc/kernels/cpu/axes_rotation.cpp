#include "kernels/cpu/axes_rotation.h"

#include <algorithm>
#include <cmath>

namespace fastret::cpu {

AxesRotation::AxesRotation(const Primitives& isa, const PrincipalAxes& axes, int64_t dim)
    : isa_(isa), axes_(axes.axes), dim_(dim) {}

double AxesRotation::error(int64_t dim, double defect) {
  const double roundings = double(kChunk + dim / kChunk + 2) * 0x1p-24;
  return 1.01 * (std::sqrt(double(dim)) * roundings + defect);
}

void AxesRotation::rotate(float* rows, int64_t count, int64_t stride) {
  alignas(64) float dots[kMaxTileQueries * kPanelKeys];
  const int32_t start[kMaxTileQueries] = {};
  const int64_t panels = (dim_ + kPanelKeys - 1) / kPanelKeys, width = panels * kPanelKeys;
  steps_.resize(size_t(dim_ * count));
  for (int64_t r = 0; r < count; ++r)
    for (int64_t d = 0; d < dim_; ++d) steps_[size_t(d * count + r)] = rows[r * stride + d];
  rotated_.assign(size_t(count * width), 0.0f);
  for (int64_t panel = 0; panel < panels; ++panel)
    for (int64_t d = 0; d < dim_; d += kChunk) {
      isa_.dot_tile(FirstPass::float32, steps_.data() + d * count, int(count), start,
                    axes_ + (panel * dim_ + d) * kPanelKeys, std::min(kChunk, dim_ - d), dots);
      for (int64_t r = 0; r < count; ++r)
        for (int64_t i = 0; i < kPanelKeys; ++i)
          rotated_[size_t(r * width + panel * kPanelKeys + i)] += dots[r * kPanelKeys + i];
    }
  for (int64_t r = 0; r < count; ++r) std::copy_n(rotated_.data() + r * width, dim_, rows + r * stride);
}

}  // namespace fastret::cpu
