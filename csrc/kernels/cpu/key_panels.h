// Keys centred, turned into what a first pass reads, and laid side by side in panels with their bounds.
#pragma once
#include <optional>
#include <vector>

#include "kernels/cpu/axes_rotation.h"
#include "kernels/cpu/error_bound.h"
#include "kernels/cpu/rows.h"

namespace fastret::cpu {

constexpr int64_t kFactsPerPanel = kKeyFacts * kPanelKeys;

inline int64_t panel_bytes(FirstPass pass, int64_t dim) {
  return panel_steps(pass, dim) * kPanelKeys * 4;
}

// The vectors that a first pass is centred at and projected along: any are valid, good ones make the bounds
// small.
struct Frame {
  std::vector<float> centre, direction;  // [D]
};

// The mean of a sample of the keys (for cosine: of their unit vectors) and its unit vector, ignoring rows
// that the pass cannot hold.
Frame sample_frame(const Rows& keys, Metric metric);

// Appends the keys of a panel that are to be scored canonically always; its first key is `first_key`.
void list_unbounded(const float* facts, int64_t first_key, std::vector<int64_t>& keys);

ErrorBound bound_of(Metric metric, FirstPass pass, int64_t dim, const float* centre,
                    const PrincipalAxes* principal);

// The norm of a row's dimensions from `head` on.
double norm_beyond(const float* row, int64_t head, int64_t dim);

// The facts of `size` keys whose squares a pass in place has summed up. Bit i of what it returns: key i is
// unbounded.
uint32_t in_place_facts(const ErrorBound& bound, const float* squares, int size, float* facts);

class KeyPacker {
 public:
  KeyPacker(const Primitives& isa, const Rows& keys, Metric metric, FirstPass pass, const float* centre,
            const float* direction, const PrincipalAxes* principal = nullptr);

  // Packs keys [number * kPanelKeys, ...) into panel [steps, kPanelKeys] and facts [kKeyFacts, kPanelKeys];
  // returns how many of them are unbounded: to be scored canonically always. Places beyond the last key and
  // keys whose every score is NaN are never found.
  // With principal axes the panel is that of the heads, and there are head_residuals [kPanelKeys] and a panel
  // of the tails as well.
  int pack(int64_t number, void* panel, float* facts, float* head_residuals = nullptr, void* tails = nullptr);

 private:
  void pack_key(int i, float* facts, float* head_residuals);
  void leave_out(float reason, int i, float* facts);

  const Primitives& isa_;
  RowReader reader_;
  int64_t rows_, dim_;
  Metric metric_;
  FirstPass pass_;
  const float *centre_, *direction_;
  std::optional<AxesRotation> axes_;
  int64_t head_;
  ErrorBound bound_;
  Centred sums_[kPanelKeys];
  std::vector<float> centred_;      // [kPanelKeys, padded dim]
  std::vector<int32_t> quantised_;  // [kPanelKeys, bytes of a padded row]
  int64_t quantised_row_;           // in units of 4 bytes
};

}  // namespace fastret::cpu
