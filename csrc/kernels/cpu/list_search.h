// Searches of inverted lists. Inputs are checked by the caller (csrc/ops/list_search_cpu.cpp).
#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/inverted_lists.h"

namespace fastret::cpu {

void search_lists(const ListSearchParams& params, const Parallel& parallel);

// RangeFound::ids are positions in the arena; of one query they are in the order of their ids.
RangeFound range_search_lists(const ListRangeSearchParams& params, const Parallel& parallel);

}  // namespace fastret::cpu
