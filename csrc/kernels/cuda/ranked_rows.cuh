// The values of a selection as rank keys, and keys as places of its result. The stored bits are ordered as
// they are: 16-bit values need not be widened.
#pragma once
#include <cuda_runtime.h>

#include "kernels/cuda/rank_key.cuh"
#include "kernels/params.h"

namespace fastret::cuda {

constexpr uint32_t kSignBit = 0x80000000u;

FASTRET_HOST_DEVICE int64_t bytes_of(DType dtype) {
  return dtype == DType::f32 ? 4 : 2;
}

// 16-bit values stand in the upper half of their 32 bits.
class RankedRows {
 public:
  __device__ explicit RankedRows(const SelectKParams& p)
      : p_(p),
        wide_(p.values.dtype == DType::f32),
        infinity_(p.values.dtype == DType::f16 ? 0x7c000000u : 0x7f800000u),
        flip_(p.largest ? 0 : kSignBit) {}

  // Larger for what ranks first, equal for -0 and +0, 0 for NaN.
  __device__ uint32_t ordered(uint32_t bits) const {
    const uint32_t magnitude = bits & ~kSignBit;
    if (magnitude > infinity_) return 0;
    if (magnitude == 0) return kSignBit;
    bits ^= flip_;
    return bits & kSignBit ? ~bits : bits | kSignBit;
  }

  __device__ uint32_t ordered(int64_t row, int64_t column) const { return ordered(load(row, column)); }

  __device__ uint64_t key(int64_t row, int64_t column) const {
    return rank_key(ordered(row, column), uint32_t(column));
  }

  // `ordered` is 0 where the row has nothing for this place.
  __device__ void write(int64_t row, int64_t place, uint32_t ordered, uint32_t column) const {
    const int64_t target = row * p_.k + place;
    p_.columns[target] = ordered == 0 ? -1 : int64_t(column);
    uint32_t bits = ordered & kSignBit ? ordered ^ kSignBit : ~ordered;
    bits ^= flip_;
    if (ordered == 0) bits = p_.largest ? infinity_ | kSignBit : infinity_;
    if (ordered == kSignBit) bits = load(row, column);  // a zero, whose sign is not in the key
    if (wide_)
      static_cast<uint32_t*>(p_.selected)[target] = bits;
    else
      static_cast<uint16_t*>(p_.selected)[target] = uint16_t(bits >> 16);
  }

  __device__ void write(int64_t row, int64_t place, uint64_t key) const {
    write(row, place, uint32_t(key >> 32), uint32_t(position_of_key(key)));
  }

 private:
  __device__ uint32_t load(int64_t row, int64_t column) const {
    const int64_t element = row * p_.values.row_stride + column;
    return wide_ ? static_cast<const uint32_t*>(p_.values.data)[element]
                 : uint32_t(static_cast<const uint16_t*>(p_.values.data)[element]) << 16;
  }

  const SelectKParams& p_;
  bool wide_;
  uint32_t infinity_, flip_;
};

}  // namespace fastret::cuda
