// The parameters of the kernels: plain structs, the shape beside each pointer. Q queries, N keys, D
// dimension, K neighbours, B batch. No torch and no Python below csrc/ops.
#pragma once
#include <cstdint>

namespace fastret {

enum class DType : int { f32, bf16, f16 };
enum class Metric : int { inner_product, cosine, l2 };

// Rows of vectors whose elements are contiguous; rows may be any distance apart.
struct Rows {
  const void* data;  // [rows, dim]
  int64_t rows;
  int64_t dim;
  int64_t row_stride;  // in elements
  DType dtype;
};

// Runs body(context, begin, end) over a partition of [0, count), on as many threads as the caller likes.
struct Parallel {
  void (*run)(int64_t count, void* context, void (*body)(void* context, int64_t begin, int64_t end));
  int num_threads;

  template <class F>
  void operator()(int64_t count, F&& body) const {
    run(count, &body,
        [](void* context, int64_t begin, int64_t end) { (*static_cast<F*>(context))(begin, end); });
  }
};

struct SearchParams {
  Rows queries;  // [Q, D]
  Rows keys;     // [N, D]
  Metric metric;
  int64_t k;
  float* scores;  // [Q, K], best first; short rows padded with -inf (similarities) or +inf (l2)
  int64_t* ids;   // [Q, K], short rows padded with -1
};

struct SelectKParams {
  Rows values;  // [rows, columns]
  int64_t k;
  bool largest;
  void* selected;    // [rows, K] of the dtype of values
  int64_t* columns;  // [rows, K]
};

// One matrix of scores; a batch is several calls.
struct PairwiseScoresParams {
  Rows queries;  // [Q, D]
  Rows keys;     // [N, D]
  Metric metric;
  void* scores;  // [Q, N], contiguous
  DType out_dtype;
};

}  // namespace fastret
