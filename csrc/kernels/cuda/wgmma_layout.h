// Where wgmma finds its operands and leaves its sums, as the PTX ISA has it ("Asynchronous Warpgroup Level
// Matrix Instructions": register fragments, matrix descriptor, swizzling modes).
#pragma once
#include <cstdint>

#include "kernels/host_device.h"

namespace fastret::cuda {

constexpr int kWgmmaDepth = 16;  // elements of a row that one instruction multiplies: 32 bytes of bfloat16

// Of the 64 x N sums, thread t of the warpgroup has N / 2 in registers: the place of register i.
FASTRET_HOST_DEVICE int fragment_row(int thread, int i) {
  return thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8;
}

FASTRET_HOST_DEVICE int fragment_column(int thread, int i) {
  return i / 4 * 8 + thread % 4 * 2 + i % 2;
}

// An operand in shared memory, rows of 128 bytes whose 16-byte pieces are permuted within 8 rows (the
// 128-byte swizzle of TMA, on addresses aligned to 1024 bytes). Fields in units of 16 bytes: bits 0-13 the
// start, 16-29 a distance that this layout does not use, 32-45 the distance between groups of 8 rows; 62-63:
// the swizzle.
FASTRET_HOST_DEVICE uint64_t matrix_descriptor(uint32_t shared_address) {
  constexpr uint64_t unused_distance = 1, group_bytes = 8 * 128, swizzle_128_bytes = 1;
  return uint64_t(shared_address % (1u << 18) / 16) | unused_distance << 16 | group_bytes / 16 << 32 |
         swizzle_128_bytes << 62;
}

// The same rows from element 16 `step` on: the hardware permutes address bits, so that the start moves as if
// nothing were permuted.
FASTRET_HOST_DEVICE uint64_t descriptor_at(uint64_t descriptor, int step) {
  return descriptor + uint64_t(step * kWgmmaDepth * 2 / 16);
}

}  // namespace fastret::cuda
