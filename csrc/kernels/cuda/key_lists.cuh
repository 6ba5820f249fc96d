// Lists of keys, one for each of some rows, all sorted at once in global memory: one sort, in which the row
// leads each key.
#pragma once
#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/rank_key.cuh"
#include "kernels/cuda/sort_keys.cuh"

namespace fastret::cuda {

inline int bits_for(int64_t count) {
  int bits = 0;
  while (int64_t(1) << bits < count) ++bits;
  return bits;
}

// A list's key is, from the top: the row (larger for the earlier), the ordered value, the inverted position.
struct KeyLists {
  int64_t rows, length;
  int row_bits, position_bits;

  // Positions are below `positions`.
  KeyLists(int64_t rows, int64_t length, int64_t positions)
      : rows(rows), length(length), row_bits(bits_for(rows)), position_bits(bits_for(positions)) {}

  __device__ uint64_t list_key(int64_t row, uint64_t rank_key) const {
    const uint64_t row_and_value = uint64_t(rows - 1 - row) << 32 | rank_key >> 32;
    return row_and_value << position_bits | (rank_key & position_mask());
  }
  __device__ uint64_t rank_key_of(uint64_t list_key) const {
    return rank_key(uint32_t(list_key >> position_bits), uint32_t(~list_key & position_mask()));
  }
  __device__ uint64_t position_mask() const { return (uint64_t(1) << position_bits) - 1; }
};

// Room to sort lists in, a chunk of rows at a time.
struct SortBuffers {
  int64_t rows;    // of a chunk
  uint64_t* keys;  // [rows, length]
  void* workspace;
  int64_t workspace_bytes;
};

// For lists of `length` of the positions below `positions`: as many rows as the 64 bits of a key tell apart
// and `bytes` has room for.
SortBuffers take_sort_buffers(Workspace& pieces, int64_t rows, int64_t length, int64_t positions,
                              int64_t bytes);

// Makes lists of rows.capacity keys of the first lists.rows rows.
void list_key_rows(Launcher& launch, const KeyRows& rows, const KeyLists& lists, uint64_t* keys);

constexpr int64_t kListedPerBlock = 4 * kThreads;

inline int64_t list_blocks(int64_t rows, int64_t length) {
  return rows * ceil_div(length, kListedPerBlock);
}

// Calls each(row, place) for the block's share of the places of rows of `length`, on list_blocks(rows,
// length) blocks.
template <class Each>
__device__ __forceinline__ void for_places(int64_t length, const Each& each) {
  const int64_t blocks_per_row = (length + kListedPerBlock - 1) / kListedPerBlock;
  const int64_t row = blockIdx.x / blocks_per_row;
  const int64_t begin = blockIdx.x % blocks_per_row * kListedPerBlock;
#pragma unroll
  for (int64_t i = threadIdx.x; i < kListedPerBlock; i += kThreads)
    if (begin + i < length) each(row, begin + i);
}

template <class Result>
__global__ void __launch_bounds__(kThreads) write_lists(KeyLists lists, const uint64_t* keys, Result result) {
  for_places(result.places(), [&](int64_t row, int64_t place) {
    const bool listed = place < lists.length;
    result.write(row, place, listed ? lists.rank_key_of(keys[row * lists.length + place]) : kNothing);
  });
}

// Sorts the lists in buffers.keys by their bits from first_bit on, keeping the order of keys that agree
// there, and writes their first keys to the result. `spare`: [rows, length].
template <class Result>
void write_sorted_lists(Launcher& launch, const KeyLists& lists, const SortBuffers& buffers, uint64_t* spare,
                        int first_bit, const Result& result) {
  const uint64_t* sorted = buffers.keys;
  launch.by([&](cudaStream_t stream) {
    return sort_keys(buffers.keys, spare, lists.rows * lists.length, first_bit,
                     32 + lists.position_bits + lists.row_bits, buffers.workspace, buffers.workspace_bytes,
                     stream, sorted);
  });
  launch(write_lists<Result>, list_blocks(lists.rows, result.places()), lists, sorted, result);
}

}  // namespace fastret::cuda
