// Lists, made and read on the device, of the queries that a stage of a search is for.
#pragma once
#include "kernels/cuda/launch.h"
#include "kernels/cuda/query_state.cuh"

namespace fastret::cuda {

// list [Q + 1]: how many queries have this answer, then their numbers, ascending.
void list_queries(Launcher& launch, const uint32_t* answers, int64_t num_queries, QueryAnswer wanted,
                  uint32_t* list);

// Lets the listed queries begin anew: no survivors, and an answer by them.
void restart_queries(Launcher& launch, const uint32_t* list, int64_t num_queries, uint32_t* counts,
                     uint32_t* answers);

}  // namespace fastret::cuda
