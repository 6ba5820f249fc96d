// Stands in for csrc/kernels/cuda/tensor_core.cuh on the simulator: what the PTX manual says that each
// instruction does. Asynchronous copies land when they are waited for, and not before.
#pragma once
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../../../simt.h"
#include "kernels/half.h"

namespace fastret::cuda {

inline unsigned char* dynamic_shared() {
  return simt::dynamic_shared_of(simt::block_rank());
}

namespace simulated {

struct Copy {
  void* target;
  const void* source;
};
// Of each thread: the groups under way, oldest first; the last is still open.
struct Copies {
  std::vector<std::vector<Copy>> groups{1};
};

inline Copies& copies_of_thread() {
  static std::vector<Copies> copies;
  static uint64_t block = 0;
  if (block != simt::machine.blocks_run) {
    copies.assign(simt::machine.fibres.size(), {});
    block = simt::machine.blocks_run;
  }
  return copies[simt::machine.current];
}

// What each lane of a warp brings to an instruction of the whole warp; two, for the reason that simt.h gives.
template <class T>
T* shared_by_warp(const T& mine) {
  static std::vector<T> published[2];
  const unsigned self = simt::machine.current;
  std::vector<T>& all = published[simt::machine.generation[self]++ % 2];
  all.resize(simt::machine.fibres.size());
  all[self] = mine;
  simt::wait_for(simt::Wait::warp_instruction);
  return all.data() + self / 32 * 32;
}

// A sum as the tensor cores form it: each addend is cut to a multiple of 2^-23 of the largest one's power of
// two, and so is the sum.
template <int Count>
float cut_sum(float start, const double (&products)[Count]) {
  double largest = std::fabs(double(start)), sum = start;
  for (double product : products) {
    largest = std::fmax(largest, std::fabs(product));
    sum += product;
  }
  if (largest == 0 || !(std::fabs(sum) <= FLT_MAX)) return float(sum);
  const double quantum = std::ldexp(1.0, std::ilogb(largest) - 23);
  sum = std::trunc(start / quantum) * quantum;
  for (double product : products) sum += std::trunc(product / quantum) * quantum;
  if (sum == 0) return 0;
  const double last = std::ldexp(1.0, std::ilogb(sum) - 23);
  return float(std::trunc(sum / last) * last);
}

}  // namespace simulated

inline void copy_async(void* shared, const void* global) {
  if (reinterpret_cast<uintptr_t>(shared) % 16 || reinterpret_cast<uintptr_t>(global) % 16)
    simt::fail("an asynchronous copy is not aligned to 16 bytes");
  simulated::copies_of_thread().groups.back().push_back({shared, global});
}

inline void commit_copies() {
  simulated::copies_of_thread().groups.emplace_back();
}

template <int Groups>
void wait_for_copies() {
  auto& groups = simulated::copies_of_thread().groups;
  while (groups.size() > Groups + 1) {
    for (const simulated::Copy& copy : groups.front()) std::memcpy(copy.target, copy.source, 16);
    groups.erase(groups.begin());
  }
}

inline void load_matrices(uint32_t (&words)[4], const void* shared_row) {
  const auto* rows = simulated::shared_by_warp(static_cast<const unsigned char*>(shared_row));
  const unsigned lane = simt::machine.current % 32;
  for (unsigned m = 0; m < 4; ++m) std::memcpy(&words[m], rows[8 * m + lane / 4] + lane % 4 * 4, 4);
}

struct MatrixWords {
  uint32_t a[4], b[2];
};

inline void multiply_add(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const MatrixWords* lanes = simulated::shared_by_warp(MatrixWords{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const auto element = [](uint32_t word, int half) {
    return double(widen_bf16(uint16_t(word >> (16 * half))));
  };
  const int lane = int(simt::machine.current % 32);
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (int group = 0; group < 4; ++group) {
      double products[4];
      for (int j = 0; j < 4; ++j) {
        const int d = 4 * group + j;
        // Dimension d of a row is with lane 4 (row % 8) + d % 8 / 2.
        const double x = element(lanes[row % 8 * 4 + d % 8 / 2].a[row / 8 + d / 8 * 2], d % 2);
        const double y = element(lanes[column * 4 + d % 8 / 2].b[d / 8], d % 2);
        products[j] = x * y;
      }
      sums[i] = simulated::cut_sum(sums[i], products);
    }
  }
}

}  // namespace fastret::cuda
