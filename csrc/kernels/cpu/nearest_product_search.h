// The search of few queries through the lists of product codes that are nearest to them.
#pragma once
#include "kernels/cpu/nearest_lists.h"
#include "kernels/cpu/product_columns.h"
#include "kernels/product_codes.h"

namespace fastret::cpu {

struct NearestProductParams {
  const float* queries;  // [Q, D]
  int64_t count;         // Q
  const NearestLists& nearest;
  int64_t nprobe;
  int64_t max_rows;  // each query visits so many rows at most; 0: any number
  const ProductColumns& columns;
  CodeLists lists;  // their offsets: terms of list_terms.h, or nullptr
  bool residual;    // codes are of differences from the centroids of the lists
  bool largest;     // scores are inner products; otherwise squared distances
  int64_t k;
  float* scores;       // [Q, k], as of ProductSearchParams
  int64_t* positions;  // [Q, k]
};

void search_nearest_product_codes(const NearestProductParams& params, const Parallel& parallel);

}  // namespace fastret::cpu
