// Searches of graphs.
#include "bindings/searchers.h"
#include "kernels/cpu/hnsw.h"
#include "ops/parallel.h"

namespace fastret::bindings {
namespace {

class GraphSearcher {
 public:
  GraphSearcher(const py::array& vectors, const py::array& offsets, const py::array& level_starts,
                const py::array& neighbors, const py::array& entry, int metric)
      : count_(length_of(vectors)),
        dim_(vectors.ndim() == 2 ? vectors.shape(1) : 0),
        num_levels_(length_of(level_starts) - 1),
        num_places_(length_of(neighbors)),
        metric_(metric_of(metric)),
        vectors_("vectors", vectors, {count_, dim_}),
        offsets_("offsets", offsets, {count_ + 1}),
        level_starts_("level_starts", level_starts, {num_levels_ + 1}),
        neighbors_("neighbors", neighbors, {num_places_}),
        entry_("entry", entry, {2}) {}

  py::object search(py::handle x, py::handle k, py::handle ef, bool check_relative_distance) const {
    const auto queries = plain_queries(x, dim_);
    const auto neighbours = positive(k), candidates = positive(ef);
    const cpu::HnswGraph graph = this->graph();
    if (!queries || !neighbours || !candidates || *neighbours > INT32_MAX || !tables_fit(graph))
      return py::none();
    Answer answer(queries->rows, *neighbours);
    cpu::HnswCounts counts;
    {
      const py::gil_scoped_release others_run;
      const int64_t steps = cpu::hnsw_steps(graph, queries->rows, std::max(*candidates, *neighbours));
      counts = cpu::hnsw_search(graph, *queries, {*candidates, check_relative_distance}, *neighbours,
                                answer.scores(), answer.ids(), ops::TorchThreads(steps));
      answer.finish(metric_, nullptr);
    }
    return answer.with(counts.searches, counts.exhausted, counts.distances, counts.hops);
  }

 private:
  cpu::HnswGraph graph() const {
    return {vectors_.data(),
            count_,
            dim_,
            metric_,
            offsets_.data(),
            level_starts_.data(),
            num_levels_,
            neighbors_.data(),
            entry_.data()[0],
            entry_.data()[1]};
  }

  // What a walk counts on, each time: tables may be written to.
  bool tables_fit(const cpu::HnswGraph& graph) const {
    return graph.levels_ascend() && graph.entry_fits() && graph.offsets[count_] == num_places_;
  }

  int64_t count_, dim_, num_levels_, num_places_;
  Metric metric_;
  Held<float> vectors_;
  Held<int64_t> offsets_;
  Held<int32_t> level_starts_, neighbors_, entry_;
};

}  // namespace

void add_graph_searcher(py::module_& m) {
  py::class_<GraphSearcher>(
      m, "GraphSearcher",
      "Searches of a graph, as of `fastret.ops.hnsw.hnsw_search`, with less work per call.\n\n"
      "Arrays are held, not copied: vectors [N, D] float32 and the tables of an `HnswGraph`. "
      "Raises ValueError for others.")
      .def(py::init<const py::array&, const py::array&, const py::array&, const py::array&, const py::array&,
                    int>(),
           py::arg("vectors"), py::arg("offsets"), py::arg("level_starts"), py::arg("neighbors"),
           py::arg("entry"), py::arg("metric"))
      .def(
          "search", &GraphSearcher::search, py::arg("x"), py::arg("k"), py::arg("ef"),
          py::arg("check_relative_distance"),
          "Scores and ids [Q, k], padded as FAISS pads, then searches, those that looked at all candidates,\n"
          "distances and hops. None where x is no contiguous float32 [Q, D] array, k or ef no positive int.");
}

}  // namespace fastret::bindings
