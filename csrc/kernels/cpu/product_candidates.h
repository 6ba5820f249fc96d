// Rows of product codes that may be among the best of a query, by bounds of their scores.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/cpu/kth_largest.h"

namespace fastret::cpu {

struct VisitedRow {
  int64_t position;
  int64_t probe;  // of its list, the rank among those of the query
};

// In room for all that are pushed before some are taken.
class WaitingRows {
 public:
  WaitingRows(float* bounds, VisitedRow* rows) : bounds_(bounds), rows_(rows) {}

  size_t size() const { return size_; }

  // The bound of its score to minimise must not be NaN.
  void push(float bound, const VisitedRow& row) {
    bounds_[size_] = bound;
    rows_[size_++] = row;
  }

  // Takes out the best ones: at least `wanted` where there are as many, and not many more unless many are
  // equal.
  void take_best(size_t wanted, std::vector<VisitedRow>& best) {
    if (wanted >= size_) return take_all(best);
    best.resize(wanted ? size_ : 0);
    if (wanted == 0) return;
    const float last = near_kth_smallest(bounds_, size_, wanted);
    size_t taken = 0, left = 0;
    for (size_t i = 0; i < size_; ++i) {
      const VisitedRow row = rows_[i];
      const float bound = bounds_[i];
      best[taken] = row;
      rows_[left] = row;
      bounds_[left] = bound;
      taken += bound <= last;
      left += bound > last;
    }
    best.resize(taken);
    size_ = left;
  }

  void take_all(std::vector<VisitedRow>& all) {
    all.assign(rows_, rows_ + size_);
    size_ = 0;
  }

  void drop_beyond(float limit) {
    size_t left = 0;
    for (size_t i = 0; i < size_; ++i) {
      const VisitedRow row = rows_[i];
      const float bound = bounds_[i];
      rows_[left] = row;
      bounds_[left] = bound;
      left += bound <= limit;
    }
    size_ = left;
  }

 private:
  float* bounds_;
  VisitedRow* rows_;
  size_t size_ = 0;
};

}  // namespace fastret::cpu
