// The first pass over product-quantized rows: their tables in levels of 8 bits, rounded down so that sums of
// levels bound how good a row can be, and rows made ready to be looked up many at once.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/code_primitives.h"
#include "kernels/cpu/product_codes.h"

namespace fastret::cpu {

// Rows that are made ready at a time: a query's levels are then read from far away for many of them at once.
constexpr int64_t kPartBytes = 1 << 16;
constexpr int64_t kMostCodes = 65535 / 255;  // whose levels add up within 16 bits
constexpr double kLargestMagnitude = 1e37;   // of sums that cannot overflow

// Codes of 4 bits are looked up as they are, others as bytes.
inline int first_pass_bits(int nbits) {
  return nbits == 4 ? 4 : 8;
}

inline int64_t levels_of_table(int64_t num_entries) {
  return num_entries == kNibbleLevels ? kNibbleLevels : kLevels;
}

// The tables of one query in levels. A table counts its entries from the best one down, in steps that all
// tables of the query share.
class Levels {
 public:
  Levels(const CodePrimitives& set, const ProductQueries& queries, int64_t query, int64_t num_codes,
         int64_t num_entries)
      : levels_(size_t(num_codes * levels_of_table(num_entries))) {
    const float* tables = queries.tables + query * queries.query_stride;
    float best[kMostCodes];
    float range = 0;
    for (int64_t m = 0; m < num_codes; ++m) {
      const Extent extent = set.extent(tables + m * queries.table_stride, num_entries);
      if (!extent.finite) return;
      best[m] = queries.largest ? extent.largest : extent.smallest;
      range = std::max(range, extent.largest - extent.smallest);
      best_sum_ += queries.largest ? -double(extent.largest) : double(extent.smallest);
      magnitude_ += std::max(std::fabs(extent.smallest), std::fabs(extent.largest));
    }
    if (!(range <= std::numeric_limits<float>::max())) return;
    step_ = range / 255;
    const float scale = range > 0 ? 255 / range : 0;
    if (!std::isfinite(scale)) return;  // all tables all but constant
    for (int64_t m = 0; m < num_codes; ++m)
      set.quantise(tables + m * queries.table_stride, num_entries, best[m], queries.largest ? -scale : scale,
                   &levels_[size_t(m * levels_of_table(num_entries))]);
    magnitude_ += double(num_codes) * range;
    usable_ = magnitude_ < kLargestMagnitude;
  }

  bool usable() const { return usable_; }
  const uint8_t* data() const { return levels_.data(); }
  float step() const { return step_; }

  // What (sum of levels) * step + (offset to minimise) of a row may be at most, for the row to reach a value;
  // `base` is added to its score, too, and other terms are at most `extent` together. An exact sum of M terms
  // and the bound of it differ by less than (M + 16) 2^-22 of what they are made of: M + 2 roundings of the
  // score, two of each level, five of the bound.
  float limit(float value, double base, double extent, int64_t num_codes) const {
    const double magnitude = magnitude_ + std::fabs(base) + extent;
    const double limit = magnitude * double(num_codes + 16) * 0x1p-22 - double(value) - base - best_sum_;
    return float(limit + std::fabs(limit) * 0x1p-23);  // rounded, not below the limit
  }

 private:
  std::vector<uint8_t> levels_;  // [M, levels_of_table]
  double best_sum_ = 0, magnitude_ = 0;
  float step_ = 0;
  bool usable_ = false;
};

// Some rows of a list, made ready for the first pass in blocks of kBlockRows.
class ListPart {
 public:
  // For so many rows at most, or fewer.
  ListPart(const CodeLists& lists, bool largest, int64_t rows)
      : lists_(lists),
        sign_(largest ? -1.0f : 1.0f),
        bits_(first_pass_bits(lists.codes.nbits)),
        width_(bits_ == 4 ? lists.codes.code_size : lists.codes.num_codes),
        blocks_(std::clamp<int64_t>(kPartBytes / (kBlockRows * width_ + 1), 1,
                                    std::min<int64_t>(16, (rows + kBlockRows - 1) / kBlockRows))),
        block_(size_t(blocks_ * width_ * kBlockRows)),
        bytes_(lists.codes.nbits == bits_ ? 0 : size_t(width_ * kBlockRows)),
        offsets_(size_t(blocks_ * kBlockRows)) {}

  int64_t most_rows() const { return blocks_ * kBlockRows; }

  void load(const CodePrimitives& set, int64_t first, int64_t count) {
    const ProductCodes& codes = lists_.codes;
    for (int64_t i = 0; i < count; i += kBlockRows) {
      const int64_t rows_of_block = std::min<int64_t>(kBlockRows, count - i);
      const uint8_t* rows = codes.data + (first + i) * codes.code_size;
      if (codes.nbits != bits_) rows = as_bytes(rows, rows_of_block);
      set.transpose(rows, rows_of_block, width_, &block_[size_t(i * width_)]);
    }
    largest_offset_ = 0;
    for (int64_t i = 0; lists_.offsets && i < count; ++i) {
      offsets_[size_t(i)] = sign_ * lists_.offsets[first + i];
      // NaN is passed over: its rows are found neither with the first pass nor without.
      largest_offset_ = std::max(largest_offset_, std::fabs(offsets_[size_t(i)]));
    }
  }

  // From row `first` of the part on, a multiple of kBlockRows.
  const uint8_t* block(int64_t first) const { return &block_[size_t(first * width_)]; }
  const float* offsets(int64_t first) const { return &offsets_[size_t(first)]; }
  float largest_offset() const { return largest_offset_; }

 private:
  const uint8_t* as_bytes(const uint8_t* rows, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      BitReader reader(rows + i * lists_.codes.code_size, lists_.codes.nbits);
      for (int64_t m = 0; m < width_; ++m) bytes_[size_t(i * width_ + m)] = uint8_t(reader.next());
    }
    return bytes_.data();
  }

  const CodeLists& lists_;
  float sign_;
  int bits_;
  int64_t width_, blocks_;
  std::vector<uint8_t> block_;  // [blocks, width, kBlockRows]
  std::vector<uint8_t> bytes_;  // [kBlockRows, width]
  std::vector<float> offsets_;  // [blocks, kBlockRows]
  float largest_offset_ = 0;
};

}  // namespace fastret::cpu
