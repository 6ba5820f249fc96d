// The CPU kernels. Inputs are checked by the caller (csrc/ops/check.h).
#pragma once
#include <vector>

#include "kernels/params.h"
#include "kernels/product_codes.h"

namespace fastret::cpu {

void search(const SearchParams& params, const Parallel& parallel);

// The keys found for query q are those from lims[q] to lims[q + 1], ids ascending.
struct RangeFound {
  std::vector<int64_t> lims;  // [Q + 1]
  std::vector<float> scores;
  std::vector<int64_t> ids;
};

RangeFound range_search(const RangeSearchParams& params, const Parallel& parallel);

// The centre and the direction that packed keys use, [D] each.
void key_frame(const Rows& keys, Metric metric, float* centre, float* direction);
void pack_keys(const PackKeysParams& params, const Parallel& parallel);
void select_k(const SelectKParams& params, const Parallel& parallel);
void pairwise_scores(const PairwiseScoresParams& params, const Parallel& parallel);
void pair_scores(const PairScoresParams& params, const Parallel& parallel);
// Positions in the arena, each query's in the order of ids.
RangeFound product_range_search(const ProductRangeParams& params, const Parallel& parallel);
void product_search(const ProductSearchParams& params, const Parallel& parallel);
void product_tables(const ProductTablesParams& params, const Parallel& parallel);
void product_encode(const ProductEncodeParams& params, const Parallel& parallel);
void product_decode(const ProductDecodeParams& params, const Parallel& parallel);
void unit_rows(const UnitRowsParams& params, const Parallel& parallel);
void unit_rows_backward(const UnitRowsBackwardParams& params, const Parallel& parallel);

}  // namespace fastret::cpu
