// The k-th of some floats in order, for the thresholds of candidates.
#pragma once
#include <algorithm>
#include <functional>
#include <vector>

namespace fastret::cpu {

// values[0:n] in any order, none NaN, 1 <= k <= n; `scratch` has room for n. As Floyd and Rivest (1975) do, a
// sorted sample brackets the answer, so that a full selection is left for few values only.
inline float kth_largest(const float* values, size_t n, size_t k, std::vector<float>& scratch) {
  constexpr size_t kSample = 64, kMargin = 8;
  const std::greater<float> descending;
  if (k == 1) return *std::max_element(values, values + n);
  if (scratch.size() < n) scratch.resize(n);
  float* middle = scratch.data();
  if (n >= 8 * kSample) {
    float sample[kSample];
    for (size_t i = 0; i < kSample; ++i) sample[i] = values[i * n / kSample];
    std::sort(sample, sample + kSample, descending);
    const size_t rank = k * kSample / n;
    const float high = sample[rank > kMargin ? rank - kMargin : 0];
    const float low = sample[std::min(kSample - 1, rank + kMargin)];
    size_t above = 0, between = 0;
    for (size_t i = 0; i < n; ++i) {
      above += values[i] > high;
      middle[between] = values[i];
      between += (values[i] <= high) & (values[i] >= low);
    }
    if (above < k && k <= above + between) {
      std::nth_element(middle, middle + (k - above - 1), middle + between, descending);
      return middle[k - above - 1];
    }
  }
  std::copy_n(values, n, middle);
  std::nth_element(middle, middle + (k - 1), middle + n, descending);
  return middle[k - 1];
}

// A value that at least k of values[0:n] do not exceed, and not many more unless they are equal: halving the
// interval and counting takes no branches that depend on the values, and is faster than a selection of few.
// None is NaN, 1 <= k <= n.
inline float near_kth_smallest(const float* values, size_t n, size_t k) {
  constexpr int kMostHalvings = 16;
  constexpr size_t kLanes = 8;
  float low[kLanes], high[kLanes];
  for (size_t j = 0; j < kLanes; ++j) low[j] = high[j] = values[0];
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t j = 0; j < kLanes; ++j) {
      low[j] = values[i + j] < low[j] ? values[i + j] : low[j];
      high[j] = values[i + j] > high[j] ? values[i + j] : high[j];
    }
  for (; i < n; ++i) {
    low[0] = std::min(low[0], values[i]);
    high[0] = std::max(high[0], values[i]);
  }
  float below = *std::min_element(low, low + kLanes), within = *std::max_element(high, high + kLanes);
  for (int halving = 0; halving < kMostHalvings; ++halving) {
    const float middle = below + (within - below) / 2;
    size_t count = 0;
    for (size_t row = 0; row < n; ++row) count += values[row] <= middle;
    (count < k ? below : within) = middle;
    if (count >= k && count <= k + k / 4 + 4) break;
  }
  return within;
}

}  // namespace fastret::cpu
