// The CPU kernels. Inputs are checked by the caller (csrc/ops/check.h).
#pragma once
#include "kernels/params.h"

namespace fastret::cpu {

void search(const SearchParams& params, const Parallel& parallel);
void select_k(const SelectKParams& params, const Parallel& parallel);
void pairwise_scores(const PairwiseScoresParams& params, const Parallel& parallel);

}  // namespace fastret::cpu
