// Stands in for csrc/kernels/cuda/wgmma.cuh on the simulator. Products are computed when they are waited for,
// from what shared memory holds then, so that a stage which is filled again too early spoils them.
#pragma once
#include <cmath>
#include <vector>

#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma_layout.h"

namespace fastret::cuda {

namespace simulated {

struct Product {
  float* sums;
  int count;
  uint64_t a, b;
  bool add;
};

// Of the running thread: the groups under way, oldest first; the last is still open.
inline std::vector<std::vector<Product>>& products_of_thread() {
  static std::vector<std::vector<std::vector<Product>>> products;
  static uint64_t run = 0;
  if (std::exchange(run, simt::machine.blocks_run) != simt::machine.blocks_run)
    products.assign(simt::machine.fibres.size(), {{}});
  return products[simt::machine.current];
}

inline void compute(const Product& product) {
  const unsigned char* memory = simt::dynamic_shared_of(simt::block_rank());
  for (int i = 0; i < product.count; ++i) {
    const int thread = int(threadIdx.x) % 128;
    float sum = product.add ? product.sums[i] : 0.0f;
    for (int k = 0; k < kWgmmaDepth; ++k)
      sum += hopper::operand(memory, product.a, fragment_row(thread, i), k) *
             hopper::operand(memory, product.b, fragment_column(thread, i), k);
    product.sums[i] = sum;
  }
}

}  // namespace simulated

inline void begin_products() {}
inline void commit_products() {
  simulated::products_of_thread().emplace_back();
}
template <int Groups>
void wait_for_products() {
  auto& groups = simulated::products_of_thread();
  while (groups.size() > Groups + 1) {
    for (const simulated::Product& product : groups.front()) simulated::compute(product);
    groups.erase(groups.begin());
  }
}
template <int kCount>
void pin(float (&)[kCount]) {}

template <int kCount>
void multiply(float (&sums)[kCount], uint64_t a, uint64_t b, bool add) {
  simulated::products_of_thread().back().push_back({sums, kCount, a, b, add});
}

}  // namespace fastret::cuda
