// Runs CUDA kernels, unmodified, on the host. Each thread of a block is a fibre; a collective (barrier,
// shuffle, ballot) switches to the next one. Found this way: wrong results, reads and writes out of bounds
// (with AddressSanitizer), collectives that some threads never reach, and most missing barriers, since a seed
// shuffles the order in which threads run. Not modelled: races between two barriers, memory ordering, several
// blocks at once that are no cluster, speed.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "fibre_context.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define SIMT_LEAVE(saved, bottom, size) __sanitizer_start_switch_fiber(saved, bottom, size)
#define SIMT_ARRIVE(saved, bottom, size) __sanitizer_finish_switch_fiber(saved, bottom, size)
#else
#define SIMT_LEAVE(saved, bottom, size) static_cast<void>(bottom)
#define SIMT_ARRIVE(saved, bottom, size) static_cast<void>(saved)
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) {
  return {x, y, z, w};
}
inline void __stwb(uint4* target, uint4 value) {
  *target = value;
}

namespace simt {

enum class Wait { none, shuffle, ballot, warp_barrier, warp_instruction, block_barrier, condition, exited };

struct Fibre {
  Context context;
  std::unique_ptr<char[]> stack;
  void* fake_stack = nullptr;
  Wait wait = Wait::none;
  std::function<bool()> condition;
};

constexpr size_t kStackBytes = 64 << 10;

struct Machine {
  std::vector<Fibre> fibres;  // of a cluster, whose blocks run together; mostly of one block
  Context scheduler;
  void* scheduler_fake_stack = nullptr;
  const void* scheduler_bottom = nullptr;
  size_t scheduler_bytes = 0;
  unsigned current = 0;
  std::function<void()> kernel;
  // Two generations: a fast lane may publish for the next collective while a slow one still reads for this
  // one.
  std::vector<uint64_t> published[2];
  std::vector<unsigned> generation;
  std::vector<unsigned char> dynamic_shared;  // of one block after the other
  std::function<bool()> elsewhere;  // goes on with what no thread does; false: there is nothing to do
  unsigned slowness = 1;            // of one warp, chosen by the seed: it goes on in one round of so many
  unsigned first_block = 0;
  uint64_t blocks_run = 0;
  std::mt19937 order{0};
};
inline Machine machine;

// The order of threads and blocks follows from the seed.
inline void seed(unsigned value) {
  machine.order.seed(value);
}

[[noreturn]] inline void fail(const char* reason) {
  std::fprintf(stderr, "simt: %s (block %u)\n", reason, blockIdx.x);
  std::abort();
}

inline void wait_for(Wait wait) {
  Fibre& self = machine.fibres[machine.current];
  self.wait = wait;
  SIMT_LEAVE(&self.fake_stack, machine.scheduler_bottom, machine.scheduler_bytes);
  self.context.leave_for(machine.scheduler);
  SIMT_ARRIVE(self.fake_stack, &machine.scheduler_bottom, &machine.scheduler_bytes);
}

inline void wait_until(std::function<bool()> condition) {
  machine.fibres[machine.current].condition = std::move(condition);
  wait_for(Wait::condition);
}

// Of the running thread within its cluster.
inline unsigned block_rank() {
  return machine.current / blockDim.x;
}
inline unsigned char* dynamic_shared_of(unsigned rank) {
  return machine.dynamic_shared.data() +
         rank * (machine.dynamic_shared.size() / (machine.fibres.size() / blockDim.x));
}

inline void fibre_main() {
  SIMT_ARRIVE(nullptr, &machine.scheduler_bottom, &machine.scheduler_bytes);
  machine.kernel();
  Fibre& self = machine.fibres[machine.current];
  self.wait = Wait::exited;
  SIMT_LEAVE(nullptr, machine.scheduler_bottom, machine.scheduler_bytes);
  self.context.leave_for(machine.scheduler);  // and never back
}

inline void resume(unsigned thread) {
  Fibre& fibre = machine.fibres[thread];
  machine.current = thread;
  threadIdx = dim3(thread % blockDim.x);
  blockIdx = dim3(machine.first_block + thread / blockDim.x);
  SIMT_LEAVE(&machine.scheduler_fake_stack, fibre.stack.get(), kStackBytes);
  machine.scheduler.leave_for(fibre.context);
  SIMT_ARRIVE(machine.scheduler_fake_stack, nullptr, nullptr);
}

// Lets a warp, or the whole block, go on once all its threads wait at the same collective.
inline bool release(unsigned begin, unsigned end) {
  const Wait first = machine.fibres[begin].wait;
  for (unsigned t = begin; t < end; ++t)
    if (machine.fibres[t].wait != first) return false;
  if (first == Wait::none || first == Wait::condition || first == Wait::exited) return false;
  for (unsigned t = begin; t < end; ++t) machine.fibres[t].wait = Wait::none;
  return true;
}

inline void run_cluster() {
  const unsigned threads = unsigned(machine.fibres.size());
  ++machine.blocks_run;
  std::fill(machine.dynamic_shared.begin(), machine.dynamic_shared.end(), 0xff);  // NaN, until it is written
  for (Fibre& fibre : machine.fibres) {
    fibre.wait = Wait::none;
    fibre.context.begin(fibre.stack.get(), kStackBytes, fibre_main);
  }
  std::vector<unsigned> order(threads);
  std::iota(order.begin(), order.end(), 0u);
  const unsigned slow_warp = machine.slowness > 1 ? machine.order() % (threads / 32) : threads;
  unsigned round = 0;
  for (bool moved = true; moved; ++round) {
    moved = false;
    std::shuffle(order.begin(), order.end(), machine.order);
    if (machine.elsewhere) moved |= machine.elsewhere();
    for (unsigned thread : order) {
      Fibre& fibre = machine.fibres[thread];
      if (fibre.wait == Wait::condition && fibre.condition()) fibre.wait = Wait::none;
      if (fibre.wait != Wait::none) continue;
      moved = true;
      if (thread / 32 == slow_warp && round % machine.slowness) continue;
      resume(thread);
    }
    for (unsigned warp = 0; warp < threads; warp += 32)
      if (machine.fibres[warp].wait != Wait::block_barrier) moved |= release(warp, warp + 32);
    for (unsigned first = 0; first < threads; first += blockDim.x)
      if (machine.fibres[first].wait == Wait::block_barrier) moved |= release(first, first + blockDim.x);
  }
  for (const Fibre& fibre : machine.fibres)
    if (fibre.wait != Wait::exited)
      fail("deadlock: some threads never reach a collective that others wait at");
}

template <class T>
T from_lane(T value, int source, Wait kind) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  const unsigned self = machine.current;
  std::vector<uint64_t>& published = machine.published[machine.generation[self]++ % 2];
  std::memcpy(&published[self], &value, sizeof value);
  wait_for(kind);
  std::memcpy(&value, &published[self / 32 * 32 + unsigned(source)], sizeof value);
  return value;
}

inline void require_all_lanes(unsigned mask) {
  if (mask != 0xffffffffu) fail("only full-warp collectives are modelled");
}

}  // namespace simt

inline void __syncthreads() {
  simt::wait_for(simt::Wait::block_barrier);
}
inline int __syncthreads_or(int predicate) {
  static int any;
  simt::wait_for(simt::Wait::block_barrier);
  any = 0;
  simt::wait_for(simt::Wait::block_barrier);
  any |= predicate != 0;
  simt::wait_for(simt::Wait::block_barrier);
  return any;
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  simt::require_all_lanes(mask);
  simt::wait_for(simt::Wait::warp_barrier);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  simt::require_all_lanes(mask);
  const int lane = int(threadIdx.x % 32);
  return simt::from_lane(value, lane / width * width + source % width, simt::Wait::shuffle);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  simt::require_all_lanes(mask);
  return simt::from_lane(value, int(threadIdx.x % 32) ^ lane_mask, simt::Wait::shuffle);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int distance) {
  simt::require_all_lanes(mask);
  const int lane = int(threadIdx.x % 32);
  return simt::from_lane(value, lane >= distance ? lane - distance : lane, simt::Wait::shuffle);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  simt::require_all_lanes(mask);
  const unsigned self = simt::machine.current, warp = self / 32 * 32;
  std::vector<uint64_t>& published = simt::machine.published[simt::machine.generation[self]++ % 2];
  published[self] = predicate != 0;
  simt::wait_for(simt::Wait::ballot);
  unsigned ballot = 0;
  for (unsigned lane = 0; lane < 32; ++lane) ballot |= unsigned(published[warp + lane]) << lane;
  return ballot;
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value) {
  for (int distance = 16; distance > 0; distance /= 2) value |= __shfl_xor_sync(mask, value, distance);
  return value;
}
inline int __popc(unsigned bits) {
  return __builtin_popcount(bits);
}
inline uint32_t atomicAdd(uint32_t* target, uint32_t value) {
  return std::exchange(*target, *target + value);
}
// Compile with -ffp-contract=off: each operation then rounds by itself.
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dsub_rn(double a, double b) {
  return a - b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess, cudaErrorInvalidValue, cudaErrorInvalidConfiguration, cudaErrorNotSupported };
enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension = 1 };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    dim3 clusterDim;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  const cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

// A device of few multiprocessors, so that persistent blocks have several tiles each.
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor
};
namespace simt {
inline int device_attributes[] = {3, 9, 0};
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = simt::device_attributes[attribute];
  return cudaSuccess;
}

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int shared_bytes) {
  return shared_bytes <= 227 << 10 ? cudaSuccess : cudaErrorInvalidValue;  // the most of any architecture
}
inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  simt::Machine& machine = simt::machine;
  const unsigned threads = config->blockDim.x, blocks = config->gridDim.x;
  if (threads == 0 || threads % 32 || threads > 1024 || blocks == 0) return cudaErrorInvalidConfiguration;
  gridDim = config->gridDim;
  blockDim = config->blockDim;
  const unsigned cluster = config->numAttrs > 0 ? config->attrs[0].val.clusterDim.x : 1;
  if (blocks % cluster) return cudaErrorInvalidConfiguration;
  machine.kernel = [&] { kernel(arguments...); };
  machine.fibres.resize(cluster * threads);
  for (simt::Fibre& fibre : machine.fibres)
    if (!fibre.stack) fibre.stack = std::make_unique<char[]>(simt::kStackBytes);
  machine.generation.assign(machine.fibres.size(), 0);
  machine.dynamic_shared.resize(cluster * config->dynamicSmemBytes);
  for (auto& published : machine.published) published.assign(machine.fibres.size(), 0);
  std::vector<unsigned> order(blocks / cluster);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), machine.order);
  for (unsigned number : order) {
    machine.first_block = number * cluster;
    simt::run_cluster();
  }
  return cudaSuccess;
}

inline cudaError_t cudaMemsetAsync(void* target, int byte, size_t bytes, cudaStream_t) {
  std::memset(target, byte, bytes);
  return cudaSuccess;
}
