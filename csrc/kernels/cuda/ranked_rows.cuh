// The rows of a selection: their values as rank keys, and the places of its result. The stored bits are
// ordered as they are: 16-bit values need not be widened.
#pragma once
#include <cuda_runtime.h>

#include "kernels/cuda/rank_key.cuh"
#include "kernels/params.h"

namespace fastret::cuda {

constexpr uint32_t kSignBit = 0x80000000u;

struct RankedRows {
  const char* values;  // [rows, columns], row_stride apart
  int64_t rows, columns, row_stride;
  int64_t element_bytes;
  uint32_t infinity;  // in the upper half of 32 bits if the elements have 16; what is beyond it is NaN
  uint32_t flip;      // the sign bit, where the smallest rank first
  int64_t k;
  char* selected;             // [rows, K]
  int64_t* selected_columns;  // [rows, K]

  explicit RankedRows(const SelectKParams& p)
      : values(static_cast<const char*>(p.values.data)),
        rows(p.values.rows),
        columns(p.values.dim),
        row_stride(p.values.row_stride),
        element_bytes(p.values.dtype == DType::f32 ? 4 : 2),
        infinity(p.values.dtype == DType::f16 ? 0x7c000000u : 0x7f800000u),
        flip(p.largest ? 0 : kSignBit),
        k(p.k),
        selected(static_cast<char*>(p.selected)),
        selected_columns(p.columns) {}

  // The rows from `first` on, at most `count`.
  RankedRows slice(int64_t first, int64_t count) const {
    RankedRows part = *this;
    part.values += first * row_stride * element_bytes;
    part.rows = count < rows - first ? count : rows - first;
    part.selected += first * k * element_bytes;
    part.selected_columns += first * k;
    return part;
  }

  __device__ uint32_t load(int64_t row, int64_t column) const {
    const int64_t element = row * row_stride + column;
    return element_bytes == 4 ? reinterpret_cast<const uint32_t*>(values)[element]
                              : uint32_t(reinterpret_cast<const uint16_t*>(values)[element]) << 16;
  }

  // Larger for what ranks first, equal for -0 and +0, 0 for NaN.
  __device__ uint32_t ordered(uint32_t bits) const {
    const uint32_t magnitude = bits & ~kSignBit;
    if (magnitude > infinity) return 0;
    if (magnitude == 0) return kSignBit;
    bits ^= flip;
    return bits & kSignBit ? ~bits : bits | kSignBit;
  }

  __device__ uint64_t key(int64_t row, int64_t column) const {
    return rank_key(ordered(load(row, column)), uint32_t(column));
  }

  FASTRET_HOST_DEVICE int64_t places() const { return k; }

  __device__ void write(int64_t row, int64_t place, uint64_t key) const {
    const int64_t target = row * k + place, column = key == kNothing ? -1 : int64_t(position_of_key(key));
    const uint32_t ordered = uint32_t(key >> 32);
    uint32_t bits = (ordered & kSignBit ? ordered ^ kSignBit : ~ordered) ^ flip;
    if (ordered == kSignBit) bits = load(row, column);  // a zero, whose sign is not in the key
    if (key == kNothing) bits = infinity | (flip ^ kSignBit);
    selected_columns[target] = column;
    if (element_bytes == 4)
      reinterpret_cast<uint32_t*>(selected)[target] = bits;
    else
      reinterpret_cast<uint16_t*>(selected)[target] = uint16_t(bits >> 16);
  }
};

}  // namespace fastret::cuda
