// What one block does with rank keys: find the k largest of any number of them, and sort a list in shared
// memory.
#pragma once
#include <cuda_runtime.h>

#include "kernels/cuda/rank_key.cuh"
#include "kernels/cuda/tiles.h"

namespace fastret::cuda {

constexpr int kDigits = 1 << kDigitBits;
constexpr int kDigitsPerThread = kDigits / kThreads;
constexpr int kKeysInFlight = 8;  // of a thread: their loads wait for memory together

struct SelectionState {
  uint32_t histogram[kDigits];
  uint32_t warp_totals[kWarps];
  uint32_t digit, above,
      inside;  // the digit that the k-th largest has; keys with larger digits; keys with this one
  uint32_t taken;
};

// The sum of the values of this lane and those before it.
__device__ __forceinline__ uint32_t warp_inclusive_sum(uint32_t value) {
  const int lane = threadIdx.x % 32;
  for (int distance = 1; distance < 32; distance *= 2) {
    const uint32_t before = __shfl_up_sync(kAllLanes, value, distance);
    if (lane >= distance) value += before;
  }
  return value;
}

// The sum of the values of all threads before this one; `total` receives the sum of all.
__device__ __forceinline__ uint32_t block_exclusive_sum(uint32_t value, uint32_t* warp_totals,
                                                        uint32_t& total) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t inclusive = warp_inclusive_sum(value);
  if (lane == 31) warp_totals[warp] = inclusive;
  __syncthreads();
  uint32_t preceding = 0;
  total = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) preceding += warp_totals[w];
    total += warp_totals[w];
  }
  __syncthreads();
  return preceding + inclusive - value;
}

// The smallest of the k largest keys of source(0), ..., source(size - 1), for 0 < k; 1 if at most k are not
// kNothing. Radix selection from the top digit down, over the keys that agree with the digits found so far.
template <class Source>
__device__ uint64_t kth_largest(const Source& source, int64_t size, uint32_t k, SelectionState& state) {
  uint64_t found = 0;
  uint32_t needed = k;
  for (int undecided = 64; undecided > 0;) {
    const int shift = undecided > kDigitBits ? undecided - kDigitBits : 0;
    const uint32_t digit_mask = (1u << (undecided - shift)) - 1;
    for (int d = threadIdx.x; d < kDigits; d += kThreads) state.histogram[d] = 0;
    __syncthreads();
    for (int64_t first = threadIdx.x; first < size; first += kKeysInFlight * kThreads) {
      uint64_t keys[kKeysInFlight];
#pragma unroll
      for (int j = 0; j < kKeysInFlight; ++j)
        keys[j] = first + j * kThreads < size ? source(first + j * kThreads) : kNothing;
#pragma unroll
      for (int j = 0; j < kKeysInFlight; ++j) {
        const bool agrees = undecided == 64 || (keys[j] ^ found) >> undecided == 0;
        if (keys[j] != kNothing && agrees)
          atomicAdd(&state.histogram[uint32_t(keys[j] >> shift) & digit_mask], 1u);
      }
    }
    __syncthreads();

    // Thread t owns a run of digits, the largest digits with thread 0.
    const int top_digit = kDigits - 1 - int(threadIdx.x) * kDigitsPerThread;
    uint32_t own = 0, total;
    for (int d = 0; d < kDigitsPerThread; ++d) own += state.histogram[top_digit - d];
    uint32_t above = block_exclusive_sum(own, state.warp_totals, total);
    if (undecided == 64 && total <= k) return 1;
    if (above < needed && needed <= above + own) {
      int digit = top_digit;
      while (above + state.histogram[digit] < needed) above += state.histogram[digit--];
      state.digit = uint32_t(digit);
      state.above = above;
      state.inside = state.histogram[digit];
    }
    __syncthreads();
    found |= uint64_t(state.digit) << shift;
    needed -= state.above;
    undecided = shift;
    const bool whole_digit = state.inside == needed;
    __syncthreads();
    if (whole_digit) break;
  }
  return found;
}

// Writes the k largest keys, in no order, and returns their number: fewer than k if the rest is kNothing.
template <class Source>
__device__ uint32_t select_largest(const Source& source, int64_t size, uint32_t k, SelectionState& state,
                                   uint64_t* selected) {
  const uint64_t threshold = kth_largest(source, size, k, state);
  if (threadIdx.x == 0) state.taken = 0;
  __syncthreads();
  const int lane = threadIdx.x % 32;
  for (int64_t first = 0; first < size; first += kThreads) {
    const int64_t i = first + threadIdx.x;
    const uint64_t key = i < size ? source(i) : kNothing;
    const bool keep = key >= threshold;
    const unsigned keepers = __ballot_sync(kAllLanes, keep);
    uint32_t place = 0;
    if (lane == 0 && keepers) place = atomicAdd(&state.taken, uint32_t(__popc(keepers)));
    place = __shfl_sync(kAllLanes, place, 0) + uint32_t(__popc(keepers & ((1u << lane) - 1)));
    if (keep) selected[place] = key;
  }
  __syncthreads();
  return state.taken;
}

// Keeps the entries that keep(entry) tells, in their order, at the front; returns their number. Called by a
// whole block.
template <class Keep>
__device__ uint32_t keep_in_place(uint64_t* entries, int64_t size, SelectionState& state, const Keep& keep) {
  uint32_t kept = 0;
  for (int64_t first = 0; first < size; first += kThreads) {
    const int64_t i = first + threadIdx.x;
    const uint64_t entry = i < size ? entries[i] : kNothing;
    const bool stays = i < size && keep(entry);
    uint32_t total;
    // Its barriers part the reads of these entries from the writes, which lie no further on.
    const uint32_t place = kept + block_exclusive_sum(stays, state.warp_totals, total);
    if (stays) entries[place] = entry;
    kept += total;
  }
  __syncthreads();
  return kept;
}

// Of kSortInBlock keys, thread t holds those from t * kKeysPerThread on.
constexpr int kKeysPerThread = kSortInBlock / kThreads;

// Sorts each run of `run` keys, a power of two, larger first, by a bitonic network: in registers within a
// thread, by shuffles within a warp, through `exchange`, in shared memory, between warps.
__device__ __forceinline__ void sort_runs(uint64_t (&keys)[kKeysPerThread], uint32_t run,
                                          uint64_t* exchange) {
  const uint32_t first = threadIdx.x * kKeysPerThread;
  for (uint32_t size = 2; size <= run; size *= 2) {
    // Shorter runs alternate in direction, so that two of them can be joined.
    const uint32_t alternation = size < run ? size : 0;
    for (uint32_t stride = size / 2; stride >= kKeysPerThread; stride /= 2) {
      const uint32_t threads = stride / kKeysPerThread;
      const bool takes_larger = ((first & stride) == 0) == ((first & alternation) == 0);
      const bool crosses_warps = threads >= 32;
      if (crosses_warps) {
#pragma unroll
        for (int i = 0; i < kKeysPerThread; ++i) exchange[i * kThreads + threadIdx.x] = keys[i];
        __syncthreads();
      }
#pragma unroll
      for (int i = 0; i < kKeysPerThread; ++i) {
        const uint64_t other = crosses_warps ? exchange[i * kThreads + (threadIdx.x ^ threads)]
                                             : __shfl_xor_sync(kAllLanes, keys[i], int(threads));
        if ((other > keys[i]) == takes_larger) keys[i] = other;
      }
      if (crosses_warps) __syncthreads();
    }
#pragma unroll
    for (int stride = kKeysPerThread / 2; stride > 0; stride /= 2) {
      if (uint32_t(stride) >= size) continue;
#pragma unroll
      for (int i = 0; i < kKeysPerThread; ++i) {
        if (i & stride) continue;
        const bool descending = ((first + i) & alternation) == 0;
        const uint64_t a = keys[i], b = keys[i + stride];
        const bool swaps = (a < b) == descending;
        keys[i] = swaps ? b : a;
        keys[i + stride] = swaps ? a : b;
      }
    }
  }
}

// Sorts the first `listed` keys of a list in shared memory, larger first; kNothing follows them up to a power
// of two.
__device__ __forceinline__ void sort_list(uint64_t (&list)[kSortInBlock], uint32_t listed) {
  const uint32_t first = threadIdx.x * kKeysPerThread;
  uint64_t keys[kKeysPerThread];
#pragma unroll
  for (int i = 0; i < kKeysPerThread; ++i) keys[i] = first + i < listed ? list[first + i] : kNothing;
  __syncthreads();
  sort_runs(keys, uint32_t(power_of_two_from(listed)), list);
#pragma unroll
  for (int i = 0; i < kKeysPerThread; ++i) list[first + i] = keys[i];
  __syncthreads();
}

}  // namespace fastret::cuda
