// The keys that may still belong to one query's neighbours, each with an interval that holds its true value.
#pragma once
#include <algorithm>
#include <cfloat>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/canonical.h"
#include "kernels/cpu/kth_largest.h"
#include "kernels/isa.h"

namespace fastret::cpu {

// The storage behind one Sink. Places are positions of keys.
class Candidates {
 public:
  // Finite, so that places of upper end -inf never pass.
  static constexpr float kNoThreshold = -FLT_MAX;

  Candidates(Sink& sink, size_t capacity) : capacity_(capacity) {
    sink = {kNoThreshold, 0, nullptr, nullptr};
    allocate(sink);
  }

  bool full(const Sink& sink) const { return sink.count >= capacity_; }
  bool overflowed() const { return overflowed_; }
  // Candidates that came since the last call of settle.
  int64_t unsettled(const Sink& sink) const { return int64_t(sink.count) - settled_; }

  // Looks up the lower ends of the candidates that came since the last call: lower(upper, place), where NaN
  // drops the candidate.
  template <class F>
  void settle(Sink& sink, F&& lower) {
    uint32_t kept = settled_;
    for (uint32_t i = settled_; i < sink.count; ++i) {
      const float end = lower(sink.uppers[i], sink.places[i]);
      if (end != end) continue;
      sink.uppers[kept] = sink.uppers[i];
      sink.places[kept] = sink.places[i];
      lowers_[kept++] = end;
    }
    sink.count = settled_ = kept;
  }

  // For the one best key: raises the threshold to the lower end of the highest candidate that is not settled
  // and drops most others without a look-up.
  template <class F>
  void raise_to_highest(Sink& sink, F&& lower) {
    if (settled_ == sink.count) return;
    const float* highest = std::max_element(sink.uppers + settled_, sink.uppers + sink.count);
    const float end = lower(*highest, sink.places[highest - sink.uppers]);
    if (!(end > sink.threshold)) return;  // NaN: it is no candidate
    sink.threshold = end;
    uint32_t kept = settled_;
    for (uint32_t i = settled_; i < sink.count; ++i) {
      sink.uppers[kept] = sink.uppers[i];
      sink.places[kept] = sink.places[i];
      kept += sink.uppers[i] >= end;
    }
    sink.count = kept;
  }

  // Raises the threshold to the k-th largest lower end and drops those that cannot reach it. More than
  // `limit` left: the bound tells too little about this query, which overflows. All must be settled.
  void tighten(Sink& sink, size_t k, size_t limit, std::vector<float>& scratch) {
    // Lower ends below the threshold cannot be among the k largest: k others were above when it rose.
    scratch.resize(2 * size_t(sink.count) + 1);
    float* reaching = scratch.data() + sink.count;
    size_t count = 0;
    for (uint32_t i = 0; i < sink.count; ++i) {
      reaching[count] = lowers_[i];
      count += lowers_[i] >= sink.threshold;
    }
    if (count >= k && k > 0) {
      sink.threshold = std::max(sink.threshold, kth_largest(reaching, count, k, scratch));
      speculative_ = false;
    }
    drop_below(sink);
    if (sink.count > limit) return overflow(sink);
    // Shrinking again and again for a few places costs more than room.
    if (sink.count > capacity_ / 2) grow(sink, capacity_ * 2);
  }

  // From here on the threshold is a guess, until a call of tighten finds k lower ends that reach it.
  void speculate(const Sink& sink) { speculative_ = sink.threshold > kNoThreshold && !overflowed_; }
  bool speculative() const { return speculative_; }

  void grow(Sink& sink, size_t capacity) {
    capacity_ = std::max(capacity_, capacity);
    const auto uppers = std::move(uppers_), lowers = std::move(lowers_);
    const auto places = std::move(places_);
    allocate(sink);
    std::copy_n(uppers.get(), sink.count, uppers_.get());
    std::copy_n(lowers.get(), settled_, lowers_.get());
    std::copy_n(places.get(), sink.count, places_.get());
  }

  // Both settled. Afterwards the other is empty.
  void merge(Sink& sink, Candidates& other, Sink& other_sink) {
    if (other.overflowed_) overflow(sink);
    if (overflowed_) return;
    if (sink.count + other_sink.count > capacity_) grow(sink, 2 * size_t(sink.count + other_sink.count));
    std::copy_n(other_sink.uppers, other_sink.count, sink.uppers + sink.count);
    std::copy_n(other_sink.places, other_sink.count, sink.places + sink.count);
    std::copy_n(other.lowers_.get(), other_sink.count, lowers_.get() + sink.count);
    sink.count = settled_ = sink.count + other_sink.count;
    // Whatever a part dropped was below its threshold, so below the larger one: that one alone needs proof.
    if (other_sink.threshold > sink.threshold)
      speculative_ = other.speculative_;
    else if (other_sink.threshold == sink.threshold)
      speculative_ = speculative_ && other.speculative_;
    sink.threshold = std::max(sink.threshold, other_sink.threshold);
    other.release(other_sink);
  }

  void overflow(Sink& sink) {
    release(sink);
    overflowed_ = true;
    speculative_ = false;
    sink.threshold = std::numeric_limits<float>::infinity();
  }

 private:
  void allocate(Sink& sink) {
    // Not value-initialised: most of it is never touched.
    uppers_.reset(new float[capacity_ + kPanelKeys]);
    lowers_.reset(new float[capacity_ + kPanelKeys]);
    places_.reset(new uint32_t[capacity_ + kPanelKeys]);
    sink.uppers = uppers_.get();
    sink.places = places_.get();
  }

  void release(Sink& sink) {
    sink.count = settled_ = 0;
    capacity_ = kPanelKeys;
    allocate(sink);
  }

  void drop_below(Sink& sink) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sink.count; ++i) {
      sink.uppers[kept] = sink.uppers[i];
      sink.places[kept] = sink.places[i];
      lowers_[kept] = lowers_[i];
      kept += sink.uppers[i] >= sink.threshold;
    }
    sink.count = settled_ = kept;
  }

  size_t capacity_;
  uint32_t settled_ = 0;
  bool overflowed_ = false, speculative_ = false;
  std::unique_ptr<float[]> uppers_, lowers_;
  std::unique_ptr<uint32_t[]> places_;
};

// The k best exact rank values seen so far, by value and id.
class ExactBest {
 public:
  struct Entry {
    float value;
    int64_t id;
    bool operator<(const Entry& other) const { return ranks_before(value, id, other.value, other.id); }
  };

  explicit ExactBest(int64_t k) : k_(size_t(k)) {}

  // Ids arrive in any order.
  void push(float value, int64_t id) {
    if (!(value >= threshold_)) return;  // NaN compares false
    entries_.push_back({value, id});
    if (entries_.size() >= 2 * k_ + 64) {
      keep_best();
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
  std::vector<Entry> entries_;
};

}  // namespace fastret::cpu
