// What TMA, wgmma and mbarriers do in shared memory, as the PTX ISA has it: copies that permute, operands
// that are read through descriptors, and phases that arrivals and bytes complete. `memory` is indexed by
// shared addresses.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/half.h"

namespace hopper {

[[noreturn]] inline void fail(const char* reason) {
  std::fprintf(stderr, "FAILED: %s\n", reason);
  std::exit(1);
}

// The 128-byte swizzle.
inline uint32_t permuted(uint32_t address) {
  return address ^ (address >> 7 & 7) << 4;
}

struct Matrix {
  const uint16_t* elements;
  int64_t rows, columns;
};

// A box of `rows` x 64 elements of 16 bits; zeros beyond the matrix.
inline void write_box(unsigned char* memory, uint32_t address, const Matrix& matrix, int64_t first_row,
                      int64_t first_column, int rows) {
  if (address % 128) fail("a box begins off a multiple of 128 bytes");
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < 64; ++column) {
      const int64_t r = first_row + row, c = first_column + column;
      const uint16_t element =
          r < matrix.rows && c < matrix.columns ? matrix.elements[r * matrix.columns + c] : uint16_t(0);
      std::memcpy(memory + permuted(address + uint32_t(row * 128 + column * 2)), &element, 2);
    }
  }
}

// Element k of a row of an operand whose rows are along k.
inline float operand(const unsigned char* memory, uint64_t descriptor, int row, int k) {
  const uint32_t start = uint32_t(descriptor & 0x3fff) * 16;
  const uint32_t group_distance = uint32_t(descriptor >> 32 & 0x3fff) * 16;
  if (descriptor >> 49 & 7) fail("a base offset, of matrices that are not aligned to 1024 bytes");
  if (descriptor >> 62 != 1) fail("another swizzle than that of 128 bytes");
  uint16_t element;
  std::memcpy(&element,
              memory + permuted(start + uint32_t(row / 8) * group_distance + uint32_t(row % 8 * 128 + k * 2)),
              2);
  return fastret::widen_bf16(element);
}

// sums [64 x columns] = a [64 x 16] b [columns x 16]^T, plus what they were if `add`.
template <class Sum>
void multiply_operands(const unsigned char* memory, uint64_t a, uint64_t b, int columns, bool add,
                       Sum&& sum) {
  for (int row = 0; row < 64; ++row) {
    for (int column = 0; column < columns; ++column) {
      float total = add ? sum(row, column) : 0.0f;
      for (int k = 0; k < 16; ++k) total += operand(memory, a, row, k) * operand(memory, b, column, k);
      sum(row, column) = total;
    }
  }
}

// An mbarrier.
struct Barrier {
  int arrivals = 0, pending = 0;
  int64_t bytes = 0;  // announced and not come
  uint32_t completed = 0;

  void init(int count) { arrivals = pending = count; }
  void arrive() {
    if (--pending < 0) fail("more arrivals in a phase than the barrier counts");
    complete();
  }
  void expect(int64_t count) {
    bytes += count;
    arrive();
  }
  void come(int64_t count) {
    bytes -= count;
    complete();
  }
  // The phase before the current one counts as complete, also before the first.
  bool is_complete(uint32_t parity) const { return completed % 2 != parity; }

 private:
  void complete() {
    if (pending > 0 || bytes != 0) return;
    pending = arrivals;
    ++completed;
  }
};

}  // namespace hopper
