// Lists, made and read on the device, of the queries that a stage of a search is for.
#pragma once
#include "kernels/cuda/launch.h"
#include "kernels/cuda/split_rows.cuh"

namespace fastret::cuda {

// list [Q + 1]: how many queries have this answer, then their numbers, ascending. Where `counts` is not
// nullptr, those of the listed queries become 0, and their answer becomes kByScan.
void list_queries(Launcher& launch, uint32_t* answers, int64_t num_queries, QueryAnswer wanted,
                  uint32_t* counts, uint32_t* list);

}  // namespace fastret::cuda
