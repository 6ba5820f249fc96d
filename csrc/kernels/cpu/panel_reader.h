// The panels that a scan reads: stored ones, or packed as they are asked for.
#pragma once
#include <memory>
#include <vector>

#include "kernels/cpu/query_block.h"

namespace fastret::cpu {

// Some panels of all: numbers first, first + stride, ... without those at multiples of `skipped` from
// `origin`.
struct PanelRange {
  int64_t first, count, stride;
  int64_t origin = 0, skipped = 0;  // 0: none is skipped

  int64_t number(int64_t i) const { return first + i * stride; }
  bool skips(int64_t i) const { return skipped && (number(i) - origin) % skipped == 0; }
};

// A range of panels in memory.
struct PanelView {
  PanelRange range;
  const char* panels;
  const float* facts;
  int64_t panel_step, facts_step;  // from one panel of the range to the next

  const char* panel(int64_t i) const { return panels + i * panel_step; }
  const float* panel_facts(int64_t i) const { return facts + i * facts_step; }
  // The facts of the panel that holds a key of the range.
  const float* facts_of(int64_t key) const {
    return panel_facts((key / kPanelKeys - range.first) / range.stride);
  }
};

class PanelReader {
 public:
  // Stored panels of all keys.
  PanelReader(const char* panels, const float* facts, int64_t num_panels, int64_t bytes)
      : all_{{0, num_panels, 1}, panels, facts, bytes, kFactsPerPanel} {}

  // Panels packed into memory of the reader's own, at most `block` at a time.
  PanelReader(const Primitives& isa, const KeySet& keys, const Frame& frame, FirstPass pass, int64_t block)
      : own_panels_(new char[size_t(block * panel_bytes(pass, keys.rows.dim))]),
        own_facts_(new float[size_t(block * kFactsPerPanel)]),
        packer_(std::make_unique<KeyPacker>(isa, keys.rows, keys.metric, pass, frame.centre.data(),
                                            frame.direction.data())),
        all_{{}, own_panels_.get(), own_facts_.get(), panel_bytes(pass, keys.rows.dim), kFactsPerPanel} {}

  // Valid until the next call, for stored panels always.
  PanelView read(const PanelRange& range) {
    PanelView view = all_;
    view.range = range;
    if (packer_) {
      for (int64_t i = 0; i < range.count; ++i) {
        if (range.skips(i)) continue;
        float* facts = own_facts_.get() + i * kFactsPerPanel;
        if (packer_->pack(range.number(i), own_panels_.get() + i * view.panel_step, facts))
          list_unbounded(facts, range.number(i) * kPanelKeys, unbounded_);
      }
    } else {
      view.panels += range.first * view.panel_step;
      view.facts += range.first * view.facts_step;
      view.panel_step *= range.stride;
      view.facts_step *= range.stride;
    }
    return view;
  }

  bool stored() const { return !packer_; }
  // All keys, where they are stored.
  const PanelView& all() const { return all_; }
  // Keys met so far that no packed panel holds.
  const std::vector<int64_t>& unbounded() const { return unbounded_; }

 private:
  std::unique_ptr<char[]> own_panels_;
  std::unique_ptr<float[]> own_facts_;
  std::unique_ptr<KeyPacker> packer_;
  PanelView all_;
  std::vector<int64_t> unbounded_;
};

}  // namespace fastret::cpu
