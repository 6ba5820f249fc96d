// What searches of coded rows have found so far: the k best, or all above a threshold.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/canonical.h"
#include "kernels/cpu/kth_largest.h"

namespace fastret::cpu {

struct FoundRow {
  float value;  // to maximise
  int64_t id, position;

  bool operator<(const FoundRow& other) const {
    if (value == other.value && id == other.id) return position < other.position;
    return ranks_before(value, id, other.value, other.id);
  }
};

// The k best rows of one query.
class BestRows {
 public:
  explicit BestRows(int64_t k)
      : k_(size_t(k)), threshold_(k ? -std::numeric_limits<float>::infinity() : NAN) {}

  size_t wanted() const { return k_; }
  // No row of a smaller value can enter.
  float threshold() const { return threshold_; }

  void push(const FoundRow& row) {
    if (!(row.value >= threshold_)) return;  // NaN compares false
    rows_.push_back(row);
    if (rows_.size() >= 2 * k_ + 32) settle();
  }

  // Raises the threshold to what the rows that are there allow, or nearly so.
  void settle() {
    if (k_ == 0 || rows_.size() < k_) return;
    values_.resize(rows_.size());
    for (size_t i = 0; i < rows_.size(); ++i) values_[i] = -rows_[i].value;
    drop_below(-near_kth_smallest(values_.data(), values_.size(), k_));
    if (rows_.size() < k_ + k_ / 2 + 16) return;
    keep_best();  // many are equal
    threshold_ = rows_[k_ - 1].value;
  }

  void merge(const BestRows& other) { rows_.insert(rows_.end(), other.rows_.begin(), other.rows_.end()); }

  const std::vector<FoundRow>& sorted() {
    keep_best();
    std::sort(rows_.begin(), rows_.end());
    return rows_;
  }

 private:
  void drop_below(float threshold) {
    size_t left = 0;
    for (const FoundRow& row : rows_) {
      const bool stays = row.value >= threshold;
      rows_[left] = row;
      left += stays;
    }
    rows_.resize(left);
    threshold_ = threshold;
  }

  void keep_best() {
    if (rows_.size() <= k_) return;
    std::nth_element(rows_.begin(), rows_.begin() + int64_t(k_) - 1, rows_.end());
    rows_.resize(k_);
  }

  size_t k_;
  float threshold_;
  std::vector<FoundRow> rows_;
  std::vector<float> values_;
};

// All rows of one query that are better than a threshold.
class RowsAbove {
 public:
  explicit RowsAbove(float threshold) : threshold_(threshold) {}

  size_t wanted() const { return 0; }  // of the best, before the others
  float threshold() const { return threshold_; }
  void settle() {}
  void push(const FoundRow& row) {
    if (row.value > threshold_) rows_.push_back(row);
  }
  void merge(const RowsAbove& other) { rows_.insert(rows_.end(), other.rows_.begin(), other.rows_.end()); }
  const std::vector<FoundRow>& sorted() {
    std::sort(rows_.begin(), rows_.end(), [](const FoundRow& a, const FoundRow& b) {
      return a.id != b.id ? a.id < b.id : a.position < b.position;
    });
    return rows_;
  }

 private:
  float threshold_;
  std::vector<FoundRow> rows_;
};

}  // namespace fastret::cpu
