// The ways in which select_k answers, and the sizes that rule the choice among them.
#pragma once
#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ranked_rows.cuh"

namespace fastret::cuda {

// Rows of at most kSortInBlock columns: each is sorted whole in shared memory.
void sort_short_rows(Launcher& launch, const SelectKParams& p);

// Rows of at most kSharedColumns columns, k of at most kSortInBlock: each is read once, into shared memory.
void select_shared_rows(Launcher& launch, const SelectKParams& p);

// Longer rows: each is read once, behind a threshold that a sample of the row gave.
void filter_rows(Launcher& launch, const SelectKParams& p, void* workspace, const SelectKTuning& tuning);
int64_t filter_rows_workspace_bytes(const SelectKParams& p, const SelectKTuning& tuning);

// Any rows, where k is much of the columns: all rows of a pass are sorted at once, in global memory.
void sort_rows(Launcher& launch, const SelectKParams& p, void* workspace, const SelectKTuning& tuning);
int64_t sort_rows_workspace_bytes(const SelectKParams& p, const SelectKTuning& tuning);

// Rows of candidates, in no order.
struct RowCandidates {
  uint64_t* keys;        // [rows, capacity] rank keys
  uint32_t* counts;      // [rows]; may exceed the capacity: then the rest was not stored
  uint64_t* thresholds;  // [rows] smallest key that is a candidate
  int64_t capacity;
};

// Room to sort the lists of one pass in.
struct SortBuffers {
  uint64_t* keys;   // [rows, length]
  uint64_t* spare;  // [rows, length]
  void* workspace;
  int64_t workspace_bytes;
};

SortBuffers take_sort_buffers(Workspace& pieces, int64_t keys, uint64_t* spare);

// The rows of a pass that one sort of lists of `length` keys can tell apart and candidate_bytes has room for.
int64_t rows_per_sort(const SelectKParams& p, int64_t row_bytes, const SelectKTuning& tuning);

// Sorts all candidates of rows [first_row, first_row + rows) and writes their first k. The candidates' memory
// is buffers.spare.
void sort_candidates(Launcher& launch, const SelectKParams& p, int64_t first_row, int64_t rows,
                     const RowCandidates& candidates, const SortBuffers& buffers);

}  // namespace fastret::cuda
