// What a search by Hamming distance keeps of one query. Distances are small integers, so counting them keeps
// the limit as low as it can be at any time.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/cpu/hamming.h"

namespace fastret::cpu {

struct HammingNeighbour {
  int64_t id;
  int32_t distance;

  bool operator<(const HammingNeighbour& other) const {
    return distance != other.distance ? distance < other.distance : id < other.id;
  }
};

// The k nearest. `most`: the largest distance that there can be.
class HammingNearest {
 public:
  HammingNearest(int64_t k, int32_t most, bool ids_ascend)
      : k_(k), worst_(most), ids_ascend_(ids_ascend), counts_(size_t(most) + 1) {}

  // Only what is below can be among the nearest. Of equal distances the smaller id is, which came already
  // where ids ascend.
  int32_t limit() const { return within_ < k_ || !ids_ascend_ ? worst_ + 1 : worst_; }

  // As many keys as were seen at first, so that about k of them are below the limit.
  int64_t keys_at_once() const { return seen_; }
  void saw(int64_t keys) { seen_ += keys; }

  // A key below the limit.
  void add(int32_t distance, int64_t id) {
    kept_.push_back({id, distance});
    ++counts_[size_t(distance)];
    ++within_;
    while (within_ - counts_[size_t(worst_)] >= k_) within_ -= counts_[size_t(worst_--)];
    if (int64_t(kept_.size()) >= 2 * k_ + kSpare) keep_best();
  }

  void merge(const HammingNearest& other) {
    kept_.insert(kept_.end(), other.kept_.begin(), other.kept_.end());
  }

  // In order.
  const std::vector<HammingNeighbour>& finish() {
    cut();
    std::sort(kept_.begin(), kept_.end());
    return kept_;
  }

 private:
  static constexpr int64_t kSpare = 64;

  void cut() {
    if (int64_t(kept_.size()) <= k_) return;
    std::nth_element(kept_.begin(), kept_.begin() + k_, kept_.end());
    kept_.resize(size_t(k_));
  }

  void keep_best() {
    cut();
    counts_[size_t(worst_)] -= within_ - k_;
    within_ = k_;
  }

  int64_t k_, within_ = 0, seen_ = 0;  // within_: those added at no more than worst_
  int32_t worst_;                      // the k-th distance, or the largest until there are k
  bool ids_ascend_;
  std::vector<int64_t> counts_;  // by distance
  std::vector<HammingNeighbour> kept_;
};

// All within a radius.
class HammingWithin {
 public:
  explicit HammingWithin(int32_t limit) : limit_(limit) {}

  int32_t limit() const { return limit_; }
  int64_t keys_at_once() const { return INT64_MAX; }
  void saw(int64_t) {}
  void add(int32_t distance, int64_t id) { kept_.push_back({id, distance}); }
  void merge(const HammingWithin& other) {
    kept_.insert(kept_.end(), other.kept_.begin(), other.kept_.end());
  }

  // By id.
  const std::vector<HammingNeighbour>& finish() {
    const auto by_id = [](const HammingNeighbour& a, const HammingNeighbour& b) { return a.id < b.id; };
    if (!std::is_sorted(kept_.begin(), kept_.end(), by_id))
      std::stable_sort(kept_.begin(), kept_.end(), by_id);
    return kept_;
  }

 private:
  int32_t limit_;
  std::vector<HammingNeighbour> kept_;
};

}  // namespace fastret::cpu
