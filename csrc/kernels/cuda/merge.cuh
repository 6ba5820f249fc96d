// Joins each row's neighbours so far with its new candidates, into its neighbours from now on, best first.
#pragma once
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rank_key.cuh"

namespace fastret::cuda {

// Candidates wait here, in no order, until a merge empties the rows. A row has room for all that one pass can
// append.
struct Candidates {
  uint64_t* keys;    // [rows, capacity]
  uint32_t* counts;  // [rows]
  uint32_t*
      thresholds;  // [rows] ordered bits that a new candidate must exceed: 0 until a row holds k neighbours
  int64_t capacity;

  // Called by a whole warp, one value per lane: whether append would keep any.
  __device__ bool any_beats(int64_t row, uint32_t ordered) const {
    return __ballot_sync(kAllLanes, ordered > thresholds[row]) != 0;
  }

  // Called by a whole warp, one value per lane. Those that exceed the row's threshold are kept; of equal
  // values the earlier position is already held, so that an equal one cannot displace it. 0 (NaN, no value)
  // is never kept.
  __device__ void append(int64_t row, uint32_t ordered, uint32_t position) const {
    const int lane = threadIdx.x % 32;
    const bool keep = ordered > thresholds[row];
    const unsigned keepers = __ballot_sync(kAllLanes, keep);
    if (keepers == 0) return;
    uint32_t place = 0;
    if (lane == 0) place = atomicAdd(&counts[row], uint32_t(__popc(keepers)));
    place = __shfl_sync(kAllLanes, place, 0) + uint32_t(__popc(keepers & ((1u << lane) - 1)));
    if (keep) keys[row * capacity + place] = rank_key(ordered, position);
  }
};

// Rows of values and ids, best first; id -1 where a row has no more. Distances where `negate`: the smallest
// is best.
struct Neighbours {
  float* values;  // [rows, width]
  int64_t* ids;   // [rows, width]
};

struct MergeParams {
  Candidates candidates;
  int64_t rows;
  int64_t k;      // places of a row to fill
  int64_t width;  // places of a row, at least k; the rest is padded
  bool negate;
  Neighbours previous;  // positions [0, held) of rank keys: the neighbours so far
  int64_t held;         // k, or 0 where there are none yet
  Neighbours next;      // not the memory of `previous`
  int64_t first_id;     // the id at position `held`
};

// Keys of a row's sorting list; 0 where a row is sorted within one block.
inline int64_t sorting_list_length(int64_t k) {
  return k <= kSortInBlock ? 0 : power_of_two_from(k);
}

// `lists`: [rows, sorting_list_length(k)].
void merge(Launcher& launch, const MergeParams& params, uint64_t* lists);

}  // namespace fastret::cuda
