// The k largest or smallest of each row, best first; equal values: the smaller column; NaN never selected.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/rows.h"
#include "kernels/half.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kScanWidth = 64;

// A value to maximise and its column in one integer: the larger sorts first, -0 equals +0, a smaller column
// wins.
uint64_t selection_key(float value, int64_t column) {
  const uint32_t bits = bits_of_float(value + 0.0f);
  const uint32_t ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return uint64_t(ordered) << 32 | uint32_t(~uint32_t(column));
}

int64_t column_of(uint64_t key) {
  return int64_t(uint32_t(~uint32_t(key)));
}

float value_of(uint64_t key) {
  const uint32_t ordered = uint32_t(key >> 32);
  return float_from_bits(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered);
}

void keep_best(std::vector<uint64_t>& keys, size_t k) {
  if (keys.size() <= k) return;
  std::nth_element(keys.begin(), keys.begin() + int64_t(k) - 1, keys.end(), std::greater<uint64_t>());
  keys.resize(k);
}

// Collects the keys of all values but NaN.
void collect_all(const float* values, int64_t columns, std::vector<uint64_t>& keys) {
  keys.resize(size_t(columns));
  size_t count = 0;
  for (int64_t c = 0; c < columns; ++c) {
    keys[count] = selection_key(values[c], c);
    count += values[c] == values[c];
  }
  keys.resize(count);
}

// Collects the keys of the k best, and a few more, behind a rising threshold.
void collect_rising(const float* values, int64_t columns, int64_t k, std::vector<uint64_t>& keys) {
  keys.clear();
  const size_t capacity = size_t(2 * k + 2 * kScanWidth);
  float threshold = -std::numeric_limits<float>::infinity();
  bool full = false;  // k candidates reach the threshold, so that a later column must exceed it
  for (int64_t first = 0; first < columns; first += kScanWidth) {
    const int64_t last = std::min(columns, first + kScanWidth);
    if (full) {
      int hits = 0;
      for (int64_t c = first; c < last; ++c) hits |= values[c] > threshold;
      if (!hits) continue;
    }
    for (int64_t c = first; c < last; ++c)
      if (values[c] > threshold || (!full && values[c] >= threshold))
        keys.push_back(selection_key(values[c], c));
    if (keys.size() + kScanWidth > capacity) {
      keep_best(keys, size_t(k));
      threshold = value_of(*std::min_element(keys.begin(), keys.end()));
      full = true;
    }
  }
}

struct Padding {
  uint32_t wide;
  uint16_t bf16, f16;
};

void select_row(const SelectKParams& p, int64_t row, std::vector<float>& values,
                std::vector<uint64_t>& keys) {
  const int64_t columns = p.values.dim;
  const int64_t source = row * p.values.row_stride;
  const float* ranked = values.data();
  if (p.values.dtype == DType::f32) {
    const float* stored = static_cast<const float*>(p.values.data) + source;
    if (p.largest)
      ranked = stored;
    else
      std::transform(stored, stored + columns, values.begin(), [](float v) { return -v; });
  } else {
    primitives().widen(static_cast<const uint16_t*>(p.values.data) + source, p.values.dtype, columns,
                       values.data());
    if (!p.largest) std::transform(values.begin(), values.end(), values.begin(), [](float v) { return -v; });
  }
  if (columns < 8 * p.k)
    collect_all(ranked, columns, keys);
  else
    collect_rising(ranked, columns, p.k, keys);
  keep_best(keys, size_t(p.k));
  std::sort(keys.begin(), keys.end(), std::greater<uint64_t>());

  const Padding padding =
      p.largest ? Padding{0xff800000, 0xff80, 0xfc00} : Padding{0x7f800000, 0x7f80, 0x7c00};
  for (int64_t j = 0; j < p.k; ++j) {
    const int64_t target = row * p.k + j;
    const bool found = j < int64_t(keys.size());
    const int64_t column = found ? column_of(keys[size_t(j)]) : -1;
    p.columns[target] = column;
    if (p.values.dtype == DType::f32) {
      static_cast<float*>(p.selected)[target] =
          found ? static_cast<const float*>(p.values.data)[source + column] : float_from_bits(padding.wide);
    } else {
      const uint16_t pad = p.values.dtype == DType::bf16 ? padding.bf16 : padding.f16;
      static_cast<uint16_t*>(p.selected)[target] =
          found ? static_cast<const uint16_t*>(p.values.data)[source + column] : pad;
    }
  }
}

}  // namespace

void select_k(const SelectKParams& p, const Parallel& parallel) {
  if (p.k == 0) return;
  parallel(p.values.rows, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    const bool in_place = p.values.dtype == DType::f32 && p.largest;
    std::vector<float> values(size_t(in_place ? 0 : p.values.dim));
    std::vector<uint64_t> keys;
    for (int64_t row = begin; row < end; ++row) select_row(p, row, values, keys);
  });
}

}  // namespace fastret::cpu
