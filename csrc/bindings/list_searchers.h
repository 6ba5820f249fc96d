// What searchers of inverted lists hold, and what they are asked.
#pragma once
#include <stdexcept>

#include "bindings/searchers.h"
#include "kernels/cpu/nearest_lists.h"

namespace fastret::bindings {

// A search of few queries.
struct Question {
  Rows queries;
  int64_t k, nprobe, max_rows;
};

// The centroids of the lists.
class HeldCentroids {
 public:
  HeldCentroids(const py::array& centroids, int metric)
      : num_lists_(centroids.ndim() == 2 ? centroids.shape(0) : 0),
        dim_(centroids.ndim() == 2 ? centroids.shape(1) : 0),
        metric_(metric_of(metric)),
        data_("coarse", centroids, {num_lists_, dim_}) {}

  int64_t num_lists() const { return num_lists_; }
  int64_t dim() const { return dim_; }
  const float* data() const { return data_.data(); }

  // What was asked, or nothing: the general way, which is as fast for many queries, sees to this.
  std::optional<Question> question(py::handle x, py::handle k, int64_t nprobe, int64_t max_rows) const {
    const auto queries = plain_queries(x, dim_);
    const auto neighbours = positive(k);
    const int64_t visited = std::min(nprobe, num_lists_);
    if (!queries || !neighbours || *neighbours > kMostNeighbours || visited <= 0 || max_rows < 0) return {};
    if (queries->rows * num_lists_ * dim_ > kMostCoarseValues) return {};
    return Question{*queries, *neighbours, visited, max_rows};
  }

  cpu::NearestLists nearest(const Question& asked) const {
    return {asked.queries, {data(), num_lists_, dim_, dim_, DType::f32}, metric_, asked.nprobe};
  }

 private:
  static constexpr int64_t kMostNeighbours = 1 << 12, kMostCoarseValues = 1 << 22;

  int64_t num_lists_, dim_;
  Metric metric_;
  Held<float> data_;
};

// The arena.
class HeldLists {
 public:
  HeldLists(const py::array& codes, const py::array& ids, const py::array& starts, const py::array& sizes,
            int64_t num_lists, int64_t code_size)
      : capacity_(count_of_places(length_of(ids))),
        codes_("codes", codes, {capacity_, code_size}),
        ids_("ids", ids, {capacity_}),
        starts_("starts", starts, {num_lists}),
        sizes_("sizes", sizes, {num_lists}) {}

  const uint8_t* codes() const { return codes_.data(); }
  const int64_t* ids() const { return ids_.data(); }
  const int64_t* starts() const { return starts_.data(); }
  const int64_t* sizes() const { return sizes_.data(); }
  int64_t capacity() const { return capacity_; }

  // Raises RuntimeError for a list that lies outside.
  void check(const cpu::NearestLists& nearest) const {
    for (int64_t i = 0; i < nearest.count(); ++i)
      if (nearest.lists()[i] >= 0) check(nearest.lists()[i]);
  }

  void check(int64_t list) const {
    const int64_t start = starts()[list], size = sizes()[list];
    if (start < 0 || size < 0 || size > capacity_ - start)
      throw std::runtime_error("search: list " + std::to_string(list) + " must lie within the " +
                               std::to_string(capacity_) + " rows, got start " + std::to_string(start) +
                               " and size " + std::to_string(size));
  }

 private:
  int64_t capacity_;
  Held<uint8_t> codes_;
  Held<int64_t> ids_, starts_, sizes_;
};

// What scan(nearest, visited, answer) finds in the lists nearest to the queries: (scores [Q, K], ids [Q, K],
// lists visited that hold something, rows in them, nanoseconds of finding the lists, of all). None where the
// scan returns false: the general way sees to this.
template <class Scan>
py::object answer_through(const Stopwatch& all, const Question& asked, const HeldCentroids& coarse,
                          const HeldLists& arena, Metric metric, Scan&& scan) {
  Answer answer(asked.queries.rows, asked.k);
  cpu::VisitCounts visited{};
  int64_t coarse_nanoseconds = 0;
  bool answered = false;
  {
    const py::gil_scoped_release others_run;
    const Stopwatch finding_lists;
    const cpu::NearestLists nearest = coarse.nearest(asked);
    coarse_nanoseconds = finding_lists.nanoseconds();
    arena.check(nearest);
    visited = nearest.visit(arena.sizes(), asked.max_rows);
    answered = scan(nearest, visited, answer);
    if (answered) answer.finish(metric, arena.ids());
  }
  if (!answered) return py::none();
  return answer.with(visited.lists, visited.rows, coarse_nanoseconds, all.nanoseconds());
}

}  // namespace fastret::bindings
