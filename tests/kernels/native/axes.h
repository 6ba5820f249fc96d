// Principal axes for tests.
#pragma once
#include "kernels/isa.h"
#include "vectors.h"

namespace fastret::test {

// A reflection, which is orthogonal, whose axes are all longer than 1 by `stretch`.
class Axes {
 public:
  Axes(int64_t dim, int64_t head, double stretch = 0) : dim_(dim), head_(head) {
    const int64_t panels = (dim + kPanelKeys - 1) / kPanelKeys;
    panels_.assign(size_t(panels * dim * kPanelKeys), 0.0f);
    Random random{uint64_t(dim)};
    std::vector<double> mirror;
    double square = 0, rounding = 0;
    for (int64_t d = 0; d < dim; ++d) {
      mirror.push_back(bell(random));
      square += mirror.back() * mirror.back();
    }
    for (int64_t i = 0; i < dim; ++i)
      for (int64_t d = 0; d < dim; ++d) {
        const double exact =
            (1 + stretch) * (double(i == d) - 2 * mirror[size_t(i)] * mirror[size_t(d)] / square);
        float& stored = panels_[size_t((i / kPanelKeys * dim + d) * kPanelKeys + i % kPanelKeys)];
        stored = float(exact);
        rounding += (stored - exact) * (stored - exact);
      }
    // Of (1 + s)R + E with an orthogonal R: 2s + s^2 and what E adds.
    defect_ = stretch * (2 + stretch) + 2.1 * std::sqrt(rounding) + 1e-12;
  }

  int64_t head() const { return head_; }
  PrincipalAxes view(const float* head_residuals, const void* tails) const {
    return {panels_.data(), head_, defect_, head_residuals, tails};
  }

 private:
  int64_t dim_, head_;
  double defect_;
  std::vector<float> panels_;
};

}  // namespace fastret::test
