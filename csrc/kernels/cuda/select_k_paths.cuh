// The ways in which select_k answers.
#pragma once
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ranked_rows.cuh"

namespace fastret::cuda {

// Rows of at most kSortInBlock columns: each is sorted whole in shared memory.
void sort_short_rows(Launcher& launch, const RankedRows& rows);

// Rows of at most kSharedColumns columns, k of at most kSortInBlock: each is read once, into shared memory.
void select_shared_rows(Launcher& launch, const RankedRows& rows);

// Longer rows: each is read once, behind a threshold that a sample of the row gave.
void filter_rows(Launcher& launch, const RankedRows& rows, void* workspace, const SelectKTuning& tuning);
int64_t filter_rows_workspace_bytes(const RankedRows& rows, const SelectKTuning& tuning);

// Any rows, where k is much of the columns: all rows of a pass are sorted at once, in global memory.
void sort_rows(Launcher& launch, const RankedRows& rows, void* workspace, const SelectKTuning& tuning);
int64_t sort_rows_workspace_bytes(const RankedRows& rows, const SelectKTuning& tuning);

}  // namespace fastret::cuda
