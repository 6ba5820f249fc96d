// Searches of few queries through inverted lists of product codes: the coarse search and the scan in one call.
#include <pybind11/stl.h>

#include <memory>

#include "bindings/list_searchers.h"
#include "kernels/cpu/list_terms.h"
#include "kernels/cpu/nearest_product_search.h"
#include "ops/parallel.h"

namespace fastret::bindings {
namespace {

using Numbers = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;
using Vectors = py::array_t<float, py::array::c_style | py::array::forcecast>;

struct HeldColumns {
  HeldColumns(const Vectors& centroids, int nbits)
      : nbits(nbits), num_codes(centroids.ndim() == 3 ? centroids.shape(0) : 0), columns(made(centroids, nbits)) {}

  int nbits;
  int64_t num_codes;
  cpu::ProductColumns columns;

 private:
  static cpu::ProductColumns made(const Vectors& centroids, int nbits) {
    if (nbits < 1 || nbits > 16 || centroids.ndim() != 3 || centroids.shape(1) != int64_t(1) << nbits)
      throw py::value_error("ProductColumns: centroids must be [M, 2^nbits, D / M] for 1 to 16 bits");
    return {centroids.data(), centroids.shape(0), nbits, centroids.shape(2)};
  }
};

// The arena of codes that columns tell.
class HeldCodeLists {
 public:
  HeldCodeLists(const HeldColumns& columns, const py::array& codes, const py::array& ids, const py::array& starts,
                const py::array& sizes)
      : code_size_(product_code_size(columns.num_codes, columns.nbits)),
        num_lists_(starts.ndim() ? starts.shape(0) : 0),
        arena_(codes, ids, starts, sizes, num_lists_, code_size_),
        columns_(columns) {}

  const HeldLists& arena() const { return arena_; }
  int64_t num_lists() const { return num_lists_; }
  CodeLists lists(const float* offsets) const {
    return {{arena_.codes(), code_size_, columns_.num_codes, columns_.nbits}, arena_.ids(), arena_.starts(), arena_.sizes(), offsets, nullptr};
  }

 private:
  int64_t code_size_, num_lists_;
  HeldLists arena_;
  const HeldColumns& columns_;
};
}  // namespace
}  // namespace fastret::bindings
