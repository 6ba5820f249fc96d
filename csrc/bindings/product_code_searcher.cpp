// Searches of few queries through inverted lists of product codes: the coarse search and the scan in one
// call.
#include <pybind11/stl.h>

#include <memory>

#include "bindings/list_searchers.h"
#include "kernels/cpu/list_terms.h"
#include "kernels/cpu/nearest_product_search.h"
#include "kernels/cpu/refined_product_codes.h"
#include "ops/parallel.h"

namespace fastret::bindings {
namespace {

using Centroids = py::array_t<float, py::array::c_style>;
using ListNumbers = py::array_t<int64_t, py::array::c_style>;

constexpr int64_t kLookupsPerStep = 64;  // that one instruction does
// Of the tables of all queries and of what they find: more goes the general way, in parts.
constexpr int64_t kMostEntries = 1 << 22, kMostFound = 1 << 20;

// A product quantizer's centroids, which must not change.
struct Quantizer {
  explicit Quantizer(const Centroids& centroids)
      : num_codes(centroids.ndim() == 3 ? centroids.shape(0) : 0),
        nbits(bits(centroids)),
        centroids(centroids),
        columns(centroids.data(), num_codes, nbits, centroids.shape(2)) {}

  int64_t code_size() const { return product_code_size(num_codes, nbits); }
  cpu::CodedRows rows(const uint8_t* codes) const {
    return {{codes, code_size(), num_codes, nbits}, centroids.data(), centroids.shape(2)};
  }

  int64_t num_codes;
  int nbits;
  Centroids centroids;
  cpu::ProductColumns columns;

 private:
  static int bits(const Centroids& centroids) {
    for (int bits = 1; centroids.ndim() == 3 && bits <= 16; ++bits)
      if (centroids.shape(1) == py::ssize_t(1) << bits) return bits;
    throw py::value_error("ProductColumns: centroids must be [M, 2^nbits, D / M] for 1 to 16 bits");
  }
};

using HeldQuantizer = std::shared_ptr<const Quantizer>;

CodeLists code_lists(const Quantizer& quantizer, const HeldLists& arena, const float* offsets) {
  return {{arena.codes(), quantizer.code_size(), quantizer.num_codes, quantizer.nbits},
          arena.ids(),
          arena.starts(),
          arena.sizes(),
          offsets,
          nullptr};
}

// Terms of the rows of an arena, which must not change.
class HeldListTerms {
 public:
  HeldListTerms(HeldQuantizer quantizer, const py::array& codes, const py::array& ids,
                const py::array& starts, const py::array& sizes)
      : quantizer_(std::move(quantizer)),
        num_lists_(starts.ndim() ? starts.shape(0) : 0),
        arena_(codes, ids, starts, sizes, num_lists_, quantizer_->code_size()),
        values_(arena_.capacity()),
        data_(values_.mutable_data()),
        terms_(quantizer_->columns, code_lists(*quantizer_, arena_, nullptr), num_lists_, data_) {}

  const float* data() const { return data_; }
  const py::array_t<float>& values() const { return values_; }

  ListNumbers missing(const ListNumbers& lists) const {
    std::vector<int64_t> missing;
    for (py::ssize_t i = 0; i < lists.size(); ++i) {
      const int64_t list = lists.data()[i];
      if (list >= num_lists_)
        throw py::value_error("ListTerms.missing: lists must be below " + std::to_string(num_lists_) +
                              ", got " + std::to_string(list));
      if (list >= 0 && !terms_.made(list)) missing.push_back(list);
    }
    std::sort(missing.begin(), missing.end());
    missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
    return ListNumbers(py::ssize_t(missing.size()), missing.data());
  }

  void make(const ListNumbers& lists, const Centroids& centroids) {
    const int64_t dim = quantizer_->columns.dim(), count = lists.size();
    if (centroids.ndim() != 2 || centroids.shape(0) != count || centroids.shape(1) != dim)
      throw py::value_error("ListTerms.make: there must be a centroid [" + std::to_string(dim) +
                            "] for each list");
    for (int64_t i = 0; i < count; ++i) {
      const int64_t list = lists.data()[i];
      if (list < 0 || list >= num_lists_)
        throw py::value_error("ListTerms.make: there is no list " + std::to_string(list) + " among " +
                              std::to_string(num_lists_));
      arena_.check(list);
    }
    const py::gil_scoped_release others_run;
    const ops::TorchThreads threads(count * quantizer_->columns.entries() * dim / quantizer_->num_codes /
                                    kLookupsPerStep);
    const Parallel& parallel = threads;
    parallel(count, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) terms_.make(lists.data()[i], centroids.data() + i * dim);
    });
  }

  // Of the lists that are visited, from the centroids of all.
  void make(const cpu::NearestLists& nearest, const float* centroids) {
    for (int64_t i = 0; i < nearest.count(); ++i) {
      const int64_t list = nearest.lists()[i];
      if (list >= 0 && !terms_.made(list)) terms_.make(list, centroids + list * quantizer_->columns.dim());
    }
  }

 private:
  HeldQuantizer quantizer_;
  int64_t num_lists_;
  HeldLists arena_;
  py::array_t<float> values_;
  float* data_;
  cpu::ListTerms terms_;
};

// The codes of what those of rows leave, by id, for k_factor times as many rows as are asked for.
class Refinement {
 public:
  Refinement(HeldQuantizer quantizer, const py::array& codes, double k_factor)
      : quantizer_(std::move(quantizer)),
        count_(codes.ndim() ? codes.shape(0) : 0),
        codes_("refine_codes", codes, {count_, quantizer_->code_size()}),
        k_factor_(k_factor) {}

  int64_t dim() const { return quantizer_->columns.dim(); }
  int64_t count() const { return count_; }
  cpu::CodedRows rows() const { return quantizer_->rows(codes_.data()); }

  // What a search of k is to find first, or nothing: the general way sees to this.
  std::optional<int64_t> candidates(int64_t k) const {
    const double candidates = double(k) * k_factor_;
    return candidates >= 0 && candidates <= kMostCandidates ? std::optional(int64_t(candidates))
                                                            : std::nullopt;
  }

 private:
  static constexpr double kMostCandidates = 1 << 16;

  HeldQuantizer quantizer_;
  int64_t count_;
  Held<uint8_t> codes_;
  double k_factor_;
};

class ProductCodeSearcher {
 public:
  ProductCodeSearcher(const py::array& coarse, int coarse_metric, HeldQuantizer quantizer,
                      const py::array& codes, const py::array& ids, const py::array& starts,
                      const py::array& sizes, int metric, bool by_residual,
                      std::shared_ptr<HeldListTerms> terms, std::shared_ptr<const Refinement> refinement)
      : coarse_(coarse, coarse_metric),
        quantizer_(std::move(quantizer)),
        arena_(codes, ids, starts, sizes, coarse_.num_lists(), quantizer_->code_size()),
        metric_(metric_of(metric)),
        by_residual_(by_residual),
        terms_(std::move(terms)),
        refinement_(std::move(refinement)),
        lists_(code_lists(*quantizer_, arena_, terms_ ? terms_->data() : nullptr)) {
    if (coarse_.dim() != quantizer_->columns.dim() || (refinement_ && coarse_.dim() != refinement_->dim()))
      throw py::value_error("ProductCodeSearcher: coarse must have the dimensions of the columns");
  }

  py::object search(py::handle x, py::handle k, int64_t nprobe, int64_t max_rows) const {
    const Stopwatch all;
    const auto asked = coarse_.question(x, k, nprobe, max_rows);
    if (!asked) return py::none();
    const std::optional<int64_t> to_find = refinement_ ? refinement_->candidates(asked->k) : asked->k;
    if (!to_find || asked->queries.rows * quantizer_->columns.entries() > kMostEntries ||
        asked->queries.rows * *to_find > kMostFound)
      return py::none();
    return answer_through(
        all, *asked, coarse_, arena_, metric_,
        [&](const cpu::NearestLists& nearest, const cpu::VisitCounts& visited, Answer& answer) {
          if (terms_) terms_->make(nearest, coarse_.data());
          const ops::TorchThreads threads(visited.rows * quantizer_->num_codes / kLookupsPerStep);
          if (refinement_) return find_refined(*asked, nearest, *to_find, answer, threads);
          find(*asked, nearest, *to_find, answer.scores(), answer.ids(), threads);
          return true;
        });
  }

 private:
  void find(const Question& asked, const cpu::NearestLists& nearest, int64_t k, float* scores,
            int64_t* positions, const Parallel& parallel) const {
    cpu::search_nearest_product_codes({static_cast<const float*>(asked.queries.data), asked.queries.rows,
                                       nearest, asked.nprobe, asked.max_rows, quantizer_->columns, lists_,
                                       by_residual_, metric_ == Metric::inner_product, k, scores, positions},
                                      parallel);
  }

  // False where a row has no code by its id.
  bool find_refined(const Question& asked, const cpu::NearestLists& nearest, int64_t candidates,
                    Answer& answer, const Parallel& parallel) const {
    std::vector<float> scores(size_t(asked.queries.rows * candidates));
    std::vector<int64_t> positions(scores.size());
    find(asked, nearest, candidates, scores.data(), positions.data(), parallel);
    return cpu::refine_product_codes(
        {asked.queries, quantizer_->rows(arena_.codes()), lists_, by_residual_ ? coarse_.data() : nullptr,
         nearest, asked.nprobe, refinement_->rows(), refinement_->count(), positions.data(), candidates,
         asked.k, answer.scores(), answer.ids()},
        parallel);
  }

  HeldCentroids coarse_;
  HeldQuantizer quantizer_;
  HeldLists arena_;
  Metric metric_;
  bool by_residual_;
  std::shared_ptr<HeldListTerms> terms_;
  std::shared_ptr<const Refinement> refinement_;
  CodeLists lists_;
};

}  // namespace

void add_product_code_searcher(py::module_& m) {
  using Array = const py::array&;
  py::class_<Quantizer, std::shared_ptr<Quantizer>>(
      m, "ProductColumns",
      "The centroids [M, 2^nbits, D / M] float32 of a product quantizer, as searches read them.")
      .def(py::init<const Centroids&>(), py::arg("centroids").noconvert());
  py::class_<HeldListTerms, std::shared_ptr<HeldListTerms>>(
      m, "ListTerms",
      "What the rows of inverted lists add to the squared distances of every query, where their codes are of "
      "residuals:\n|y_R|^2 + 2 y_C.y_R of a row y_C + y_R in the list of centroid y_C.\n\n"
      "The arrays, as of ProductCodeSearcher, are held and must not change.")
      .def(py::init<HeldQuantizer, Array, Array, Array, Array>(), py::arg("columns"), py::arg("codes"),
           py::arg("ids"), py::arg("starts"), py::arg("sizes"))
      .def_property_readonly("values", &HeldListTerms::values,
                             "[N] float32, right for the lists that were made.")
      .def("missing", &HeldListTerms::missing, py::arg("lists").noconvert(),
           "Those of the lists, int64 of any shape with -1 for none, that were not made, ascending.")
      .def("make", py::overload_cast<const ListNumbers&, const Centroids&>(&HeldListTerms::make),
           py::arg("lists").noconvert(), py::arg("centroids").noconvert(),
           "Of lists [n] with centroids [n, D].");
  py::class_<Refinement, std::shared_ptr<Refinement>>(
      m, "Refinement",
      "Codes [N, bytes] uint8, of `columns`, of what the codes of rows leave, by their ids. They are "
      "held.\n\n"
      "A search finds k_factor times as many rows, and ranks them by what both codes stand for.")
      .def(py::init<HeldQuantizer, Array, double>(), py::arg("columns"), py::arg("codes"),
           py::arg("k_factor"));
  py::class_<ProductCodeSearcher>(
      m, "ProductCodeSearcher",
      "Searches of few queries [Q, D] through inverted lists of product codes, by one call.\n\n"
      "Arrays are held as by ListSearcher; codes are of `columns`, with by_residual of differences from "
      "coarse, and\nthen with distances have terms, which are made as lists are visited. A refinement is for "
      "distances. Raises\nValueError for others.")
      .def(py::init<Array, int, HeldQuantizer, Array, Array, Array, Array, int, bool,
                    std::shared_ptr<HeldListTerms>, std::shared_ptr<const Refinement>>(),
           py::arg("coarse"), py::arg("coarse_metric"), py::arg("columns"), py::arg("codes"), py::arg("ids"),
           py::arg("starts"), py::arg("sizes"), py::arg("metric"), py::arg("by_residual"),
           py::arg("terms") = py::none(), py::arg("refinement") = py::none())
      .def("search", &ProductCodeSearcher::search, py::arg("x"), py::arg("k"), py::arg("nprobe"),
           py::arg("max_rows"), "As ListSearcher.search.");
}

}  // namespace fastret::bindings
