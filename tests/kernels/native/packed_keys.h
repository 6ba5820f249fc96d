// Keys packed for a first pass, in allocations of their exact size.
#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/isa.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {

class Packed {
 public:
  Packed(const Rows& keys, Metric metric, FirstPass pass)
      : pass_(pass),
        num_panels_((keys.rows + kPanelKeys - 1) / kPanelKeys),
        panels_(size_t(num_panels_ * panel_steps(pass, keys.dim) * kPanelKeys)),
        facts_(size_t(num_panels_ * kKeyFacts * kPanelKeys)),
        centre_(size_t(keys.dim)),
        direction_(size_t(keys.dim)) {
    cpu::key_frame(keys, metric, centre_.data(), direction_.data());
    pack(keys, metric, 0);
  }

  // Packs the panels from this one on.
  void pack(const Rows& keys, Metric metric, int64_t first_panel) {
    cpu::pack_keys(
        {keys, metric, pass_, centre_.data(), direction_.data(), first_panel, panels_.data(), facts_.data()},
        threads<1>());
  }

  PackedKeys view() const {
    bool has_unbounded = false;
    for (int64_t panel = 0; panel < num_panels_; ++panel)
      for (int i = 0; i < kPanelKeys; ++i)
        has_unbounded |= facts_[size_t(panel * kKeyFacts * kPanelKeys + i)] < 0;  // scales
    return {pass_, panels_.data(), facts_.data(), centre_.data(), direction_.data(), has_unbounded};
  }

  ExactArray<int32_t>& panels() { return panels_; }
  ExactArray<float>& facts() { return facts_; }

 private:
  FirstPass pass_;
  int64_t num_panels_;
  ExactArray<int32_t> panels_;
  ExactArray<float> facts_;
  ExactArray<float> centre_, direction_;
};

}  // namespace fastret::test
