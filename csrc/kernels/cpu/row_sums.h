// Sums in float32 over the dimensions of one query and a few rows: what a graph is walked by. Fast, and the
// same bits on every instruction set, but rounded at each step; scores that are returned are canonical.h's.
//
// Lane j of 16 adds the terms of dimensions j, j + 16, ... from 0 on, then the lanes fold as a fixed tree,
// lane[j] += lane[j + h] for h = 8, 4, 2, 1. Each product, difference and sum is rounded: never a fused
// multiply-add.
#pragma once
#include <cstdint>

#include "kernels/isa.h"

namespace fastret {

constexpr int kRowLanes = 16;
constexpr int kRowsInFlight = 4;

// sums[i] of the query and rows[i], each of dim float32.
using RowSums = void (*)(Term term, const float* query, const float* const* rows, int64_t count, int64_t dim,
                         float* sums);

// Those of the instruction set in use.
RowSums row_sums();

}  // namespace fastret
