// The k-th largest of some floats, for the thresholds of candidates.
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

}  // namespace fastret::cpu
