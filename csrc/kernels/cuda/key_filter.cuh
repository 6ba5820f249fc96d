// The keys that a query may find (KeyFilter in kernels/params.h), asked for by whole warps. `filter` is the
// same for all threads of a launch, so that without a filter each question costs one uniform branch.
#pragma once
#include <cuda_runtime.h>

#include "kernels/cuda/tiles.h"
#include "kernels/params.h"

namespace fastret::cuda {

// The filter of queries from `first_query` and keys from `first_key` on; excluded ids stay those of all keys.
inline KeyFilter slice(const KeyFilter& filter, int64_t first_query, int64_t first_key) {
  KeyFilter part = filter;
  if (part.allowed) part.allowed += first_key;
  if (part.excluded) part.excluded += first_query * part.num_excluded;
  if (part.query_labels) part.query_labels += first_query;
  if (part.key_labels) part.key_labels += first_key;
  return part;
}

__device__ __forceinline__ bool is_allowed(const KeyFilter& filter, int64_t key) {
  return !filter.allowed || filter.allowed[key];
}

// Whether `query` may not find `key` though it is allowed: for one thread, where few pairs are asked about.
__device__ __forceinline__ bool forbids(const KeyFilter& filter, int64_t query, int64_t key) {
  if (filter.query_labels && filter.query_labels[query] == filter.key_labels[key]) return true;
  const int64_t* excluded = filter.excluded + query * filter.num_excluded;
  for (int64_t i = 0; i < filter.num_excluded; ++i)
    if (excluded[i] == key) return true;
  return false;
}

// Whether `query` excludes the id `first_id` + lane.
__device__ __forceinline__ bool is_excluded(const KeyFilter& filter, int64_t query, int64_t first_id) {
  const int lane = threadIdx.x % 32;
  const int64_t* excluded = filter.excluded + query * filter.num_excluded;
  unsigned found = 0;
  for (int64_t i = lane; i < filter.num_excluded; i += 32) {
    // Unsigned, so that padding and ids of no key are far from every key.
    const uint64_t distance = uint64_t(excluded[i]) - uint64_t(first_id);
    if (distance < 32) found |= 1u << distance;
  }
  return __reduce_or_sync(kAllLanes, found) >> lane & 1;
}

}  // namespace fastret::cuda
