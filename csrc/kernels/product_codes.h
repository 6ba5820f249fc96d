// The parameters of the kernels on product-quantized rows (Jegou, Douze, Schmid 2011): a row is M codes of
// nbits bits, each the number of a centroid of its sub-space; K = 2^nbits centroids of D / M dimensions each.
#pragma once
#include <cstdint>

#include "kernels/params.h"

namespace fastret {

// Code m of a row is the bits from m * nbits on, the lowest of the first byte first, as FAISS packs them.
struct ProductCodes {
  const uint8_t* data;  // [rows, code_size]
  int64_t code_size;    // bytes: ceil(M * nbits / 8)
  int64_t num_codes;    // M
  int nbits;            // 1 to 16
};

// Lists of rows in one arena: those of list l are at starts[l] ... starts[l] + sizes[l] - 1.
struct CodeLists {
  ProductCodes codes;     // [capacity, code_size]
  const int64_t* ids;     // [capacity], or nullptr: the positions
  const int64_t* starts;  // [L]
  const int64_t* sizes;   // [L]
  const float* offsets;   // [capacity], or nullptr: added to the score of a row
  const bool* allowed;    // [capacity], or nullptr: all
};

// The score of a row is ((t_0 + t_1 + ... + t_(M-1)) + offset) + base in float32, each sum rounded, where t_m
// is the entry of table m at the row's code m.
struct ProductQueries {
  const float* tables;     // [Q, M, K], entries contiguous
  int64_t query_stride;    // in floats
  int64_t table_stride;    // in floats
  int64_t count;           // Q
  const int64_t* probes;   // [Q, P], -1: none
  int64_t probes_of_each;  // P
  const float* base;       // [Q, P], or nullptr: added to the scores of a list
  int64_t max_rows;        // each query visits so many rows at most; 0: any number
  bool largest;            // scores are similarities; otherwise distances
};

struct ProductSearchParams {
  ProductQueries queries;
  CodeLists lists;
  int64_t k;
  float* scores;       // [Q, k], best first, of equal ones the smaller id; padded with the worst score
  int64_t* positions;  // [Q, k] of the rows in the arena, padded with -1
};

struct ProductRangeParams {
  ProductQueries queries;
  CodeLists lists;
  float threshold;  // found are better scores
};

// tables[q, m, c] = product, or squared distance, of sub-vector m of query q with centroid c: float32 terms
// added in the order of the dimensions, each step rounded.
struct ProductTablesParams {
  const float* rows;       // [Q, D], contiguous
  const float* centroids;  // [M, K, D / M]
  int64_t count;           // Q
  int64_t num_codes;       // M
  int nbits;
  int64_t sub_dim;  // D / M
  bool squared_l2;
  float* tables;  // [Q, M, K]
};

// Codes of the nearest centroids by those squared distances; of equally near ones the smaller.
struct ProductEncodeParams {
  const float* rows;       // [N, D], contiguous
  const float* centroids;  // [M, K, D / M]
  int64_t count;           // N
  int64_t num_codes;       // M
  int nbits;
  int64_t sub_dim;
  uint8_t* codes;  // [N, code_size]
};

struct ProductDecodeParams {
  ProductCodes codes;
  const float* centroids;  // [M, K, D / M]
  int64_t count;           // N
  int64_t sub_dim;
  float* rows;  // [N, D]
};

inline int64_t product_code_size(int64_t num_codes, int nbits) {
  return (num_codes * nbits + 7) / 8;
}

}  // namespace fastret
