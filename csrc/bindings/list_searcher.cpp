// Searches of few queries through inverted lists of rows: the coarse search and the scan in one call.
#include <pybind11/stl.h>

#include "bindings/list_searchers.h"
#include "kernels/cpu/list_search.h"
#include "ops/parallel.h"

namespace fastret::bindings {
namespace {

class ListSearcher {
 public:
  ListSearcher(const py::array& coarse, int coarse_metric, const py::array& codes, const py::array& ids,
               const py::array& starts, const py::array& sizes, int metric, int codec,
               const std::optional<py::array>& ranges, const std::optional<py::array>& centroids)
      : coarse_(coarse, coarse_metric),
        arena_(codes, ids, starts, sizes, coarse_.num_lists(),
               code_bytes(codec_of(codec, ranges.has_value()), coarse_.dim())),
        metric_(metric_of(metric)) {
    if (ranges) ranges_.emplace("ranges", *ranges, std::initializer_list<int64_t>{2, coarse_.dim()});
    if (centroids)
      centroids_.emplace("centroids", *centroids,
                         std::initializer_list<int64_t>{coarse_.num_lists(), coarse_.dim()});
    lists_.codes = arena_.codes();
    lists_.codec = codec_of(codec, ranges.has_value());
    lists_.dim = coarse_.dim();
    lists_.ranges = ranges_ ? ranges_->data() : nullptr;
    lists_.ids = arena_.ids();
    lists_.starts = arena_.starts();
    lists_.sizes = arena_.sizes();
    lists_.num_lists = coarse_.num_lists();
    lists_.centroids = centroids_ ? centroids_->data() : nullptr;
  }

  py::object search(py::handle x, py::handle k, int64_t nprobe, int64_t max_rows) const {
    const Stopwatch all;
    const auto asked = coarse_.question(x, k, nprobe, max_rows);
    if (!asked) return py::none();
    return answer_through(
        all, *asked, coarse_, arena_, metric_,
        [&](const cpu::NearestLists& nearest, const cpu::VisitCounts& visited, Answer& answer) {
          cpu::search_lists({asked->queries,
                             lists_,
                             {nearest.lists(), asked->nprobe, asked->max_rows},
                             metric_,
                             asked->k,
                             answer.scores(),
                             answer.ids()},
                            ops::TorchThreads(visited.rows * lists_.dim));
          return true;
        });
  }

 private:
  HeldCentroids coarse_;
  HeldLists arena_;
  Metric metric_;
  std::optional<Held<float>> ranges_, centroids_;
  InvertedLists lists_{};
};

}  // namespace

void add_list_searcher(py::module_& m) {
  py::class_<ListSearcher>(
      m, "ListSearcher",
      "Searches of few queries [Q, D] through inverted lists of rows, by one call.\n\n"
      "Arrays are held, not copied: coarse [L, D] float32, of coarse_metric, whose nearest lists are "
      "visited; "
      "codes\n[N, bytes] uint8 of a codec, ids [N], starts and sizes [L] int64, and where the codec has them "
      "ranges [2, D]\nand centroids [L, D] float32. Raises ValueError for others.")
      .def(py::init<const py::array&, int, const py::array&, const py::array&, const py::array&,
                    const py::array&, int, int, const std::optional<py::array>&,
                    const std::optional<py::array>&>(),
           py::arg("coarse"), py::arg("coarse_metric"), py::arg("codes"), py::arg("ids"), py::arg("starts"),
           py::arg("sizes"), py::arg("metric"), py::arg("codec"), py::arg("ranges") = py::none(),
           py::arg("centroids") = py::none())
      .def("search", &ListSearcher::search, py::arg("x"), py::arg("k"), py::arg("nprobe"),
           py::arg("max_rows"),
           "Scores and ids [Q, k], padded as FAISS pads, then lists visited that hold rows, rows in them, "
           "nanoseconds of\nfinding the lists, and of all. None where x is no contiguous float32 [Q, D] "
           "array, "
           "or for many queries.");
}

}  // namespace fastret::bindings
