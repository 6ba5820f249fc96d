// The keys that may still belong to one query's neighbours, each with an interval that holds its true rank
// value.
#pragma once
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/canonical.h"

namespace fastret::cpu {

struct Candidate {
  float upper, lower;
  int64_t id;
};

class Candidates {
 public:
  explicit Candidates(int64_t k) : k_(size_t(k)), capacity_(size_t(std::max<int64_t>(128, 2 * k + 64))) {}

  float threshold() const { return threshold_; }
  bool overflowed() const { return overflowed_; }
  const std::vector<Candidate>& items() const { return items_; }

  // Where more than this survive, the bound tells too little: the query is scored exactly instead.
  size_t limit() const { return std::max<size_t>(4096, 16 * k_); }

  void push(Candidate candidate) { items_.push_back(candidate); }
  bool full() const { return items_.size() >= capacity_; }

  // Raises the threshold to the k-th largest lower bound and drops the candidates that cannot reach it.
  void tighten(std::vector<float>& lowers) {
    if (items_.size() >= k_) {
      lowers.clear();
      for (const Candidate& c : items_) lowers.push_back(c.lower);
      const auto kth = lowers.begin() + int64_t(k_) - 1;
      std::nth_element(lowers.begin(), kth, lowers.end(), std::greater<float>());
      threshold_ = std::max(threshold_, *kth);
      const auto hopeless = [this](const Candidate& c) { return c.upper < threshold_; };
      items_.erase(std::remove_if(items_.begin(), items_.end(), hopeless), items_.end());
    }
    // Shrinking again and again for a few places costs more than room.
    if (items_.size() > capacity_ / 2) capacity_ *= 2;
    if (items_.size() > limit()) overflow();
  }

  void merge(const Candidates& other) {
    if (other.overflowed_) overflow();
    if (overflowed_) return;
    items_.insert(items_.end(), other.items_.begin(), other.items_.end());
    threshold_ = std::max(threshold_, other.threshold_);
  }

 private:
  void overflow() {
    overflowed_ = true;
    threshold_ = std::numeric_limits<float>::infinity();
    std::vector<Candidate>().swap(items_);
  }

  size_t k_, capacity_;
  float threshold_ = -std::numeric_limits<float>::infinity();
  bool overflowed_ = false;
  std::vector<Candidate> items_;
};

// The k best exact rank values seen so far. Ids arrive in rising order: of equal values the earlier one
// stays.
class ExactBest {
 public:
  struct Entry {
    float value;
    int64_t id;
    bool operator<(const Entry& other) const { return ranks_before(value, id, other.value, other.id); }
  };

  explicit ExactBest(int64_t k) : k_(size_t(k)) {}

  void push(float value, int64_t id) {
    if (!(value > threshold_ || (!full_ && value >= threshold_))) return;  // NaN compares false
    entries_.push_back({value, id});
    if (entries_.size() >= 2 * k_ + 64) {
      keep_best();
      full_ = true;
      threshold_ = std::max_element(entries_.begin(), entries_.end())->value;  // the last in rank
    }
  }

  void merge(const ExactBest& other) {
    entries_.insert(entries_.end(), other.entries_.begin(), other.entries_.end());
  }

  const std::vector<Entry>& sorted() {
    keep_best();
    std::sort(entries_.begin(), entries_.end());
    return entries_;
  }

 private:
  void keep_best() {
    if (entries_.size() <= k_) return;
    std::nth_element(entries_.begin(), entries_.begin() + int64_t(k_) - 1, entries_.end());
    entries_.resize(k_);
  }

  size_t k_;
  float threshold_ = -std::numeric_limits<float>::infinity();
  bool full_ = false;
  std::vector<Entry> entries_;
};

}  // namespace fastret::cpu
