// The lists that each of few queries visits, and what is counted of such a visit.
#pragma once
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "kernels/cpu/nearest_lists.h"
#include "ops/check.h"

namespace fastret::ops {

class NearestLists {
 public:
  // queries [Q, D] with contiguous rows, centroids [L, D], both float32
  NearestLists(const char* op, const Tensor& queries, const Tensor& centroids, int64_t nprobe, int64_t metric)
      : per_query_(nprobe) {
    check_pair(op, queries, centroids, 2);
    STD_TORCH_CHECK(queries.scalar_type() == ScalarType::Float &&
                        centroids.scalar_type() == ScalarType::Float && centroids.is_contiguous(),
                    op, ": queries and coarse must be contiguous float32");
    STD_TORCH_CHECK(nprobe >= 0, op, ": nprobe must not be negative, got ", nprobe);
    const auto begun = std::chrono::steady_clock::now();
    const cpu::NearestLists nearest(rows_of(op, queries), rows_of(op, centroids), metric_of(op, metric),
                                    nprobe);
    lists_.assign(nearest.lists(), nearest.lists() + nearest.count());
    scores_.assign(nearest.scores(), nearest.scores() + nearest.count());
    nanoseconds_ = std::chrono::nanoseconds(std::chrono::steady_clock::now() - begun).count();
  }

  int64_t nanoseconds() const { return nanoseconds_; }  // that it took
  int64_t per_query() const { return per_query_; }
  const int64_t* lists() const { return lists_.data(); }  // [Q, per_query], -1: none
  const float* scores() const { return scores_.data(); }  // of these

  // How many of them are not empty.
  int64_t filled(const int64_t* sizes) const {
    return std::count_if(lists_.begin(), lists_.end(),
                         [&](int64_t list) { return list >= 0 && sizes[list]; });
  }

  // How many rows they hold, of each query max_rows at most (0: any number).
  int64_t rows(const int64_t* sizes, int64_t max_rows) const {
    int64_t all = 0;
    for (size_t first = 0; first < lists_.size(); first += size_t(per_query_)) {
      int64_t mine = 0;
      for (size_t i = first; i < first + size_t(per_query_); ++i)
        mine += lists_[i] < 0 ? 0 : sizes[lists_[i]];
      all += max_rows ? std::min(mine, max_rows) : mine;
    }
    return all;
  }

 private:
  int64_t per_query_, nanoseconds_ = 0;
  std::vector<int64_t> lists_;
  std::vector<float> scores_;
};

// In place; infinitely bad rows are none, as in FAISS.
inline void positions_to_ids(const float* scores, int64_t* positions, int64_t count, const int64_t* ids) {
  for (int64_t i = 0; i < count; ++i)
    positions[i] = positions[i] < 0 || std::isinf(scores[i]) ? -1 : ids[positions[i]];
}

}  // namespace fastret::ops
