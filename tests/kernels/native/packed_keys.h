// Keys packed for a first pass, in allocations of their exact size.
#pragma once
#include <optional>

#include "axes.h"
#include "kernels/cpu/kernels.h"
#include "kernels/isa.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {

class Packed {
 public:
  // With a head, by axes.
  Packed(const Rows& keys, Metric metric, FirstPass pass, int64_t head = 0)
      : pass_(pass),
        num_panels_((keys.rows + kPanelKeys - 1) / kPanelKeys),
        panels_(size_t(num_panels_ * panel_steps(pass, head ? head : keys.dim) * kPanelKeys)),
        tails_(size_t(head ? num_panels_ * (panel_steps(pass, keys.dim) - head / 4) * kPanelKeys : 0)),
        head_residuals_(size_t(head ? num_panels_ * kPanelKeys : 0)),
        facts_(size_t(num_panels_ * kKeyFacts * kPanelKeys)),
        centre_(size_t(keys.dim)),
        direction_(size_t(keys.dim)) {
    cpu::key_frame(keys, metric, centre_.data(), direction_.data());
    if (head) {
      axes_.emplace(keys.dim, head);
      principal_ = axes_->view(head_residuals_.data(), tails_.data());
    }
    pack(keys, metric, 0);
  }

  // Packs the panels from this one on.
  void pack(const Rows& keys, Metric metric, int64_t first_panel) {
    PackKeysParams params{keys,        metric,         pass_,        centre_.data(), direction_.data(),
                          first_panel, panels_.data(), facts_.data()};
    if (axes_) {
      params.principal = &principal_;
      params.head_residuals = head_residuals_.data();
      params.tails = tails_.data();
    }
    cpu::pack_keys(params, threads<1>());
  }

  PackedKeys view() const {
    bool has_unbounded = false;
    for (int64_t panel = 0; panel < num_panels_; ++panel)
      for (int i = 0; i < kPanelKeys; ++i)
        has_unbounded |= facts_[size_t(panel * kKeyFacts * kPanelKeys + i)] < 0;  // scales
    PackedKeys packed{pass_, panels_.data(), facts_.data(), centre_.data(), direction_.data(), has_unbounded};
    if (axes_) packed.principal = &principal_;
    return packed;
  }

  ExactArray<int32_t>& panels() { return panels_; }
  ExactArray<float>& facts() { return facts_; }

 private:
  FirstPass pass_;
  int64_t num_panels_;
  ExactArray<int32_t> panels_;
  ExactArray<int32_t> tails_;
  ExactArray<float> head_residuals_, facts_;
  std::optional<Axes> axes_;
  PrincipalAxes principal_{};
  ExactArray<float> centre_, direction_;
};

}  // namespace fastret::test
