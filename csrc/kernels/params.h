// The parameters of the kernels: plain structs, the shape beside each pointer. Q queries, N keys, D
// dimension, K neighbours, B batch. No torch and no Python below csrc/ops.
#pragma once
#include <cstdint>

namespace fastret {

enum class DType : int { f32, bf16, f16 };
enum class Metric : int { inner_product, cosine, l2 };

// What the first pass of a certified search computes in, finest first.
enum class FirstPass : int { float32, int16, int8 };

// Rows of vectors whose elements are contiguous; rows may be any distance apart.
struct Rows {
  const void* data;  // [rows, dim]
  int64_t rows;
  int64_t dim;
  int64_t row_stride;  // in elements
  DType dtype;
};

// Runs body(context, begin, end) over a partition of [0, count), on at most num_threads threads.
struct Parallel {
  void (*run)(int64_t count, int num_threads, void* context,
              void (*body)(void* context, int64_t begin, int64_t end));
  int num_threads;

  template <class F>
  void operator()(int64_t count, F&& body) const {
    run(count, num_threads, &body,
        [](void* context, int64_t begin, int64_t end) { (*static_cast<F*>(context))(begin, end); });
  }
};

// Keys side by side in a panel, the same for every instruction set: a stored panel fits every machine.
constexpr int kPanelKeys = 32;
inline int64_t num_panels(int64_t keys) {
  return (keys + kPanelKeys - 1) / kPanelKeys;
}

constexpr int kKeyFacts = 5;  // floats per key beside its panel: see KeyFacts in isa.h

// An orthogonal basis whose first axes hold most of what the keys vary in: the first pass scores these `head`
// dimensions first, and the others only where those leave a key possible.
struct PrincipalAxes {
  const float* axes;  // [ceil(D / kPanelKeys), D, kPanelKeys]: axis i is column i % 32 of panel i / 32
  int64_t head;       // a multiple of 16, below D
  double defect;      // at least the 2-norm of axes axes^T - 1
  const float* head_residuals;  // [P, kPanelKeys]
  const void* tails;  // [P, steps beyond the head, kPanelKeys] of 4 bytes; the panels hold the heads
};

// Keys made ready for the first pass, P = ceil(N / kPanelKeys) panels of them.
struct PackedKeys {
  FirstPass first_pass;
  const void* panels;                        // [P, steps, kPanelKeys] of 4 bytes
  const float* facts;                        // [P, kKeyFacts, kPanelKeys]
  const float* centre;                       // [D]
  const float* direction;                    // [D], the unit vector that queries are projected along
  bool has_unbounded;                        // whether some keys never enter the pass
  const PrincipalAxes* principal = nullptr;  // of int8 keys, or nullptr: rotated as rotation.h says
};

// The keys that a query may find.
struct KeyFilter {
  const bool* allowed = nullptr;      // [N]; nullptr: all
  const int64_t* excluded = nullptr;  // [Q, E], -1 pads; nullptr: none
  int64_t num_excluded = 0;           // E
  // Keys of the query's own label are not found; both nullptr: none have labels.
  const int64_t* query_labels = nullptr;  // [Q]
  const int64_t* key_labels = nullptr;    // [N]
};

struct SearchParams {
  Rows queries;  // [Q, D]
  Rows keys;     // [N, D]
  Metric metric;
  int64_t k;
  float* scores;  // [Q, K], best first; short rows padded with -inf (similarities) or +inf (l2)
  int64_t* ids;   // [Q, K], short rows padded with -1
  KeyFilter filter = {};
  // [Q] canonical scores, or nullptr: a key that scores better (l2: below) is not found, one that scores the
  // same is. +inf (l2: -inf) and NaN bound nothing.
  const float* ceilings = nullptr;
  // CPU only.
  const PackedKeys* packed = nullptr;  // or the keys are packed while they are scanned, for this pass:
  int first_pass = -1;                 // a FirstPass, or -1: the cheapest for this work
  int64_t* rescored = nullptr;         // [Q]: keys that were scored canonically
  int64_t* passes = nullptr;           // [Q]: the FirstPass that answered, or kNoFirstPass
};

constexpr int64_t kNoFirstPass = -1;

struct RangeSearchParams {
  Rows queries;  // [Q, D]
  Rows keys;     // [N, D]
  Metric metric;
  float threshold;  // found are scores above it, for l2 below it
  KeyFilter filter = {};
  const PackedKeys* packed = nullptr;
  int first_pass = -1;  // as of SearchParams
};

// Keys [first_panel * kPanelKeys, N) made ready for searches.
struct PackKeysParams {
  Rows keys;  // [N, D]
  Metric metric;
  FirstPass first_pass;
  const float* centre;     // [D]
  const float* direction;  // [D]
  int64_t first_panel;
  void* panels;                              // [P, steps, kPanelKeys] of 4 bytes
  float* facts;                              // [P, kKeyFacts, kPanelKeys]
  const PrincipalAxes* principal = nullptr;  // as of PackedKeys
  float* head_residuals = nullptr;           // those of `principal`
  void* tails = nullptr;
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

// Each row divided by its norm, by the steps of kernels/unit_scale.h.
struct UnitRowsParams {
  Rows rows;    // [R, D]
  void* units;  // [R, D], contiguous
  DType out_dtype;
  double* inverse_norms;  // [R]; 0 for a zero row
};

// The gradient of that: grad_rows[r] = (g - u (u . g)) * inverse_norms[r], where g is grad_units[r] and u the
// unit row before it was rounded.
struct UnitRowsBackwardParams {
  Rows grad_units;              // [R, D]
  Rows rows;                    // [R, D]
  const double* inverse_norms;  // [R]
  void* grad_rows;              // [R, D], contiguous, of the dtype of rows
};

// Each query with keys of its own.
struct PairScoresParams {
  Rows queries;        // [Q, D]
  Rows keys;           // [N, D]
  const int64_t* ids;  // [Q, P]
  int64_t num_pairs;   // P, of each query
  Metric metric;
  float* scores;  // [Q, P] canonical, NaN where there is no such key
};

}  // namespace fastret
