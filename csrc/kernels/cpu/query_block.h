// Some queries of a search, read once, and what every pass over the keys needs to know of them.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/cpu/key_panels.h"

namespace fastret::cpu {

struct Range {
  int64_t begin, end;
};

inline Range part(int64_t count, int64_t index, int64_t parts) {
  return {count * index / parts, count * (index + 1) / parts};
}

// What all blocks of queries share: the keys and which of them may be found.
struct KeySet {
  KeySet(const Rows& keys, Metric metric, const KeyFilter& filter, const PackedKeys* packed);

  // Where packed keys are centred; a sample of the keys is read when it is first asked for. Not from several
  // threads.
  const Frame& frame() const;

  Rows rows;
  Metric metric;
  const PackedKeys* packed;
  const bool* allowed;
  std::vector<uint32_t> allowed_bits;  // [P] where some keys are not allowed, else empty

  // Packed keys may be the first of more, whose panel the last of them share.
  uint32_t allowed_in(int64_t panel) const {
    const int64_t left = rows.rows - panel * kPanelKeys;
    const uint32_t existing = left < kPanelKeys ? (1u << left) - 1 : ~0u;
    return allowed_bits.empty() ? existing : allowed_bits[size_t(panel)] & existing;
  }

 private:
  mutable std::optional<Frame> frame_;
};

class QueryBlock {
 public:
  QueryBlock(const Rows& queries, Range block, const KeySet& keys, const KeyFilter& filter,
             const Parallel& parallel, const float* ceilings = nullptr);

  int64_t size() const { return block_.end - block_.begin; }
  int64_t first() const { return block_.begin; }
  const float* row(int64_t q) const { return rows_[size_t(q)]; }
  double square(int64_t q) const { return squares_[size_t(q)]; }  // canonical

  bool has_ceilings() const { return !ceilings_.empty(); }
  // The largest rank value that query q may find.
  float ceiling(int64_t q) const {
    return has_ceilings() ? ceilings_[size_t(q)] : std::numeric_limits<float>::infinity();
  }

  // Whether query q may not find this key.
  bool excludes(int64_t q, int64_t key) const {
    if (key_labels_ && key_labels_[key] == query_labels_[q]) return true;
    const auto* row = excluded_.data() + q * num_excluded_;
    return num_excluded_ && std::binary_search(row, row + num_excluded_, key);
  }

 private:
  Range block_;
  RowReader reader_;
  std::vector<const float*> rows_;
  std::vector<double> squares_;
  int64_t num_excluded_;
  std::vector<int64_t> excluded_;  // [size, num_excluded], each row sorted
  const int64_t *query_labels_, *key_labels_;
  std::vector<float> ceilings_;  // [size] rank values, or empty
};

}  // namespace fastret::cpu
