// Searches of all codes of an index.
#include <pybind11/stl.h>

#include <vector>

#include "bindings/searchers.h"
#include "kernels/cpu/hamming.h"
#include "kernels/cpu/list_search.h"
#include "ops/parallel.h"

namespace fastret::bindings {
namespace {

// Coded rows, in lists that every query visits and that threads share.
class RowSearcher {
 public:
  RowSearcher(const py::array& codes, int64_t dim, int metric, int codec,
              const std::optional<py::array>& ranges)
      : count_(count_of_places(length_of(codes))), metric_(metric_of(metric)) {
    lists_.codec = codec_of(codec, ranges.has_value());
    lists_.dim = dim;
    codes_.emplace("codes", codes, std::initializer_list<int64_t>{count_, code_bytes(lists_.codec, dim)});
    if (ranges) ranges_.emplace("ranges", *ranges, std::initializer_list<int64_t>{2, dim});
    const int64_t rows_per_list = std::max(kLeastRows, (count_ + kMostLists - 1) / kMostLists);
    for (int64_t start = 0; start < count_; start += rows_per_list) {
      starts_.push_back(start);
      sizes_.push_back(std::min(rows_per_list, count_ - start));
    }
    lists_.codes = codes_->data();
    lists_.ranges = ranges_ ? ranges_->data() : nullptr;
    lists_.starts = starts_.data();
    lists_.sizes = sizes_.data();
    lists_.num_lists = int64_t(starts_.size());
  }

  py::object search(py::handle x, py::handle k) const {
    const auto queries = plain_queries(x, lists_.dim);
    const auto neighbours = positive(k);
    if (!queries || !neighbours || *neighbours > INT32_MAX) return py::none();
    Answer answer(queries->rows, *neighbours);
    {
      const py::gil_scoped_release others_run;
      std::vector<int64_t> visits(size_t(queries->rows * lists_.num_lists));
      for (size_t i = 0; i < visits.size(); ++i) visits[i] = int64_t(i % starts_.size());
      cpu::search_lists({*queries,
                         lists_,
                         {visits.data(), lists_.num_lists, 0},
                         metric_,
                         *neighbours,
                         answer.scores(),
                         answer.ids()},
                        ops::TorchThreads(queries->rows * count_ * lists_.dim));
      answer.finish(metric_, nullptr);
    }
    return answer.with();
  }

 private:
  static constexpr int64_t kLeastRows = 4096, kMostLists = 64;

  int64_t count_;
  Metric metric_;
  std::optional<Held<uint8_t>> codes_;
  std::optional<Held<float>> ranges_;
  std::vector<int64_t> starts_, sizes_;
  InvertedLists lists_{};
};

class HammingSearcher {
 public:
  explicit HammingSearcher(const py::array& codes)
      : count_(length_of(codes)),
        bytes_(codes.ndim() == 2 ? codes.shape(1) : 0),
        codes_("codes", codes, {count_, bytes_}) {}

  py::object search(const py::array& queries, py::handle k) const {
    const Held<uint8_t> held("queries", queries, {length_of(queries), bytes_});
    const auto neighbours = positive(k);
    if (!neighbours || *neighbours > INT32_MAX) return py::none();
    const int64_t count = length_of(queries);
    Answer answer(count, *neighbours);
    {
      const py::gil_scoped_release others_run;
      std::vector<int32_t> distances(size_t(count * *neighbours));
      cpu::hamming_search({held.data(), count, codes_.data(), count_, bytes_}, *neighbours, distances.data(),
                          answer.ids(), ops::TorchThreads(count * count_ * bytes_ / 8));
      std::copy(distances.begin(), distances.end(), answer.scores());
      answer.finish(Metric::l2, nullptr);
    }
    return answer.with();
  }

 private:
  int64_t count_, bytes_;
  Held<uint8_t> codes_;
};

}  // namespace

void add_flat_searchers(py::module_& m) {
  py::class_<RowSearcher>(
      m, "RowSearcher",
      "Searches of all rows, as of `fastret.ops.search_lists`, with less work per call.\n\n"
      "Arrays are held, not copied: codes [N, bytes] uint8 of a codec and, where it has "
      "them, ranges [2, D]\nfloat32. Raises ValueError for others.")
      .def(py::init<const py::array&, int64_t, int, int, const std::optional<py::array>&>(), py::arg("codes"),
           py::arg("dim"), py::arg("metric"), py::arg("codec"), py::arg("ranges") = py::none())
      .def(
          "search", &RowSearcher::search, py::arg("x"), py::arg("k"),
          "Scores and ids [Q, k], padded as FAISS pads. None where x is no contiguous float32 [Q, D] array.");
  py::class_<HammingSearcher>(m, "HammingSearcher",
                              "Searches of all codes, as of `fastret.ops.hamming_search`, with less work per "
                              "call.\n\ncodes [N, B] uint8 are held, not copied.")
      .def(py::init<const py::array&>(), py::arg("codes"))
      .def("search", &HammingSearcher::search, py::arg("queries"), py::arg("k"),
           "Distances as float32 and ids [Q, k] of queries [Q, B] uint8, padded as FAISS pads. None where k "
           "is no positive\nint.");
}

}  // namespace fastret::bindings
