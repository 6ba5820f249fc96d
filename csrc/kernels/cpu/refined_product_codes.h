// The best of rows that a search of product codes found, by what these and the codes of what they leave stand
// for together.
#pragma once
#include "kernels/cpu/nearest_lists.h"
#include "kernels/product_codes.h"

namespace fastret::cpu {

// Codes, and the centroids [M, K, D / M] that they name.
struct CodedRows {
  ProductCodes codes;
  const float* centroids;
  int64_t sub_dim;
};

struct RefinedProductParams {
  Rows queries;    // [Q, D] float32
  CodedRows rows;  // of lists
  CodeLists lists;
  const float* coarse;  // [L, D], added to the rows of their list; nullptr: nothing
  const NearestLists& nearest;
  int64_t nprobe;
  CodedRows left;  // what the rows leave, by id
  int64_t num_left;
  const int64_t* candidates;  // [Q, C] positions of rows in the nearest lists, -1: none
  int64_t num_candidates;     // C
  int64_t k;
  float* scores;       // [Q, K] canonical squared distances, best first, of equal ones the smaller id; padded
  int64_t* positions;  // [Q, K] of rows, padded with -1
};

// Nothing, and false, where a row has no code by its id.
bool refine_product_codes(const RefinedProductParams& params, const Parallel& parallel);

}  // namespace fastret::cpu
