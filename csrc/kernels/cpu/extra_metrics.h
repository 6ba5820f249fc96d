// The terms of each metric and what is made of their sums, for the vectors of any instruction set: V holds
// V::kLanes float64, one of each key. C headers only, and no linkage: every set compiles its own.
#pragma once
#include "kernels/cpu/extra_scores.h"

namespace fastret {
namespace {

template <class V>
struct L1 {
  V sum = V(0);
  void add(V q, V x) { sum = sum + abs(q - x); }
  V score(double) const { return sum; }
};

template <class V>
struct Linf {
  V largest = V(0);
  void add(V q, V x) { largest = max(abs(q - x), largest); }  // NaN is passed over
  V score(double) const { return largest; }
};

template <class V>
struct Canberra {
  V sum = V(0);
  void add(V q, V x) { sum = sum + abs(q - x) / (abs(q) + abs(x)); }
  V score(double) const { return sum; }
};

template <class V>
struct BrayCurtis {
  V differences = V(0), sums = V(0);
  void add(V q, V x) {
    differences = differences + abs(q - x);
    sums = sums + abs(q + x);
  }
  V score(double) const { return differences / sums; }
};

// Of a number and NaN, the number is both the smaller and the larger.
template <class V>
struct Jaccard {
  V smaller = V(0), larger = V(0);
  void add(V q, V x) {
    const auto is_number = ordered(x, x);
    smaller = smaller + pick(is_number, min(q, x), q);
    larger = larger + pick(is_number, max(q, x), q);
  }
  V score(double) const { return smaller / larger; }
};

// Over the dimensions that both have, scaled up to all.
template <class V>
struct NanEuclidean {
  V squares = V(0), present = V(0);
  void add(V q, V x) {
    const V square = (q - x) * (q - x);
    squares = squares + pick(ordered(square, square), square, V(0));
    present = present + pick(ordered(q, x), V(1), V(0));
  }
  V score(double dim) const { return squares * (V(dim) / present); }
};

// Over the dimensions that both have: numbers in [0, 1] differ by |q - x|, negative categories by 1.
template <class V>
struct Gower {
  V differences = V(0), unequal = V(0), present = V(0);  // present: NaN once the metric does not apply
  void add(V q, V x) {
    const V zero(0), one(1), nan(__builtin_nan(""));
    const auto numbers = (zero <= q) & (q <= one) & (zero <= x) & (x <= one);
    const auto categories = (q < zero) & (x < zero);
    differences = differences + pick(numbers, abs(q - x), zero);
    unequal = unequal + pick(categories & ((q < x) | (x < q)), one, zero);
    present = present + pick(ordered(q, x), pick(numbers | categories, one, nan), zero);
  }
  V score(double) const { return (differences + unequal) / present; }
};

// Sums of so many vectors of keys, and queries, stay in registers.
template <class M, class V, int num_queries>
void score_tile(const double* queries, const double* panel, int64_t dim, float* scores) {
  M sums[num_queries][V::kTile];
  for (int64_t d = 0; d < dim; ++d) {
#pragma GCC unroll 8
    for (int v = 0; v < V::kTile; ++v) {
      const V x = V::load(panel + d * kPanelKeys + v * V::kLanes);
#pragma GCC unroll 2
      for (int r = 0; r < num_queries; ++r) sums[r][v].add(V(queries[r * dim + d]), x);
    }
  }
#pragma GCC unroll 2
  for (int r = 0; r < num_queries; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V::kTile; ++v)
      sums[r][v].score(double(dim)).store_rounded(scores + r * kPanelKeys + v * V::kLanes);
}

template <class M, class V>
void score_panel(const double* queries, int64_t n, const double* panel, int64_t dim, float* scores) {
  for (int first = 0; first < kPanelKeys; first += V::kTile * V::kLanes) {
    int64_t q = 0;
    for (; q + V::kQueries <= n; q += V::kQueries)
      score_tile<M, V, V::kQueries>(queries + q * dim, panel + first, dim, scores + q * kPanelKeys + first);
    for (; q < n; ++q)
      score_tile<M, V, 1>(queries + q * dim, panel + first, dim, scores + q * kPanelKeys + first);
  }
}

template <class V>
void score_by(ExtraMetric metric, const double* queries, int64_t n, const double* panel, int64_t dim,
              float* scores) {
  constexpr decltype(&score_panel<L1<V>, V>) kScore[kExtraMetrics] = {
      score_panel<L1<V>, V>,         score_panel<Linf<V>, V>,    score_panel<Canberra<V>, V>,
      score_panel<BrayCurtis<V>, V>, score_panel<Jaccard<V>, V>, score_panel<NanEuclidean<V>, V>,
      score_panel<Gower<V>, V>,
  };
  kScore[int(metric)](queries, n, panel, dim, scores);
}

}  // namespace
}  // namespace fastret
