// The lists that each of few queries visits: those of the nearest centroids.
#pragma once
#include <vector>

#include "kernels/inverted_lists.h"

namespace fastret::cpu {

// What queries come upon in the lists that they visit.
struct VisitCounts {
  int64_t lists;  // that are not empty
  int64_t rows;   // in them, of each query as many as it may visit
};

class NearestLists {
 public:
  // queries [Q, D] and centroids [L, D] of float32. On the caller's thread.
  NearestLists(const Rows& queries, const Rows& centroids, Metric metric, int64_t nprobe);

  // Best first, equal ones by list; lists that are infinitely bad are none.
  const int64_t* lists() const { return lists_.data(); }  // [Q, nprobe], -1: none
  const float* scores() const { return scores_.data(); }  // [Q, nprobe], canonical
  int64_t count() const { return int64_t(lists_.size()); }

  VisitCounts visit(const int64_t* sizes, int64_t max_rows) const;

 private:
  int64_t nprobe_;
  std::vector<int64_t> lists_;
  std::vector<float> scores_;
};

}  // namespace fastret::cpu
