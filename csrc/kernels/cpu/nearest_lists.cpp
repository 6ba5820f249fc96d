#include "kernels/cpu/nearest_lists.h"

#include <algorithm>
#include <cmath>

#include "kernels/canonical.h"
#include "kernels/cpu/list_search.h"

namespace fastret::cpu {

NearestLists::NearestLists(const Rows& queries, const Rows& centroids, Metric metric, int64_t nprobe)
    : nprobe_(nprobe), lists_(size_t(queries.rows * nprobe)), scores_(lists_.size()) {
  // The centroids are one list, which every query visits.
  const int64_t start = 0;
  const std::vector<int64_t> only(size_t(queries.rows), 0);
  InvertedLists all{};
  all.codes = static_cast<const uint8_t*>(centroids.data);
  all.codec = Codec::float32;
  all.dim = centroids.dim;
  all.starts = &start;
  all.sizes = &centroids.rows;
  all.num_lists = 1;
  const Parallel alone{[](int64_t count, int, void* context, void (*body)(void*, int64_t, int64_t)) {
                         body(context, 0, count);
                       },
                       1};
  search_lists({queries, all, {only.data(), 1, 0}, metric, nprobe, scores_.data(), lists_.data()}, alone);
  for (size_t i = 0; i < lists_.size(); ++i)
    if (std::isinf(scores_[i]) && rank_value(metric, scores_[i]) < 0) lists_[i] = -1;
}

VisitCounts NearestLists::visit(const int64_t* sizes, int64_t max_rows) const {
  VisitCounts all{};
  for (size_t first = 0; first < lists_.size(); first += size_t(nprobe_)) {
    int64_t rows = 0;
    for (size_t i = first; i < first + size_t(nprobe_); ++i) {
      const int64_t size = lists_[i] < 0 ? 0 : sizes[lists_[i]];
      all.lists += size > 0;
      rows += size;
    }
    all.rows += max_rows ? std::min(rows, max_rows) : rows;
  }
  return all;
}

}  // namespace fastret::cpu
