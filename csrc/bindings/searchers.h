// Searchers: the arrays of an index, checked once, so that a search of few queries costs one call and little
// more. Their owner makes a new one when an array is another.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>

#include "kernels/inverted_lists.h"

namespace fastret::bindings {

namespace py = pybind11;

inline int64_t length_of(const py::array& array) {
  return array.ndim() ? array.shape(0) : 0;
}

// An array of this shape, kept alive by whoever holds it. Raises ValueError for another, and for one that is
// not contiguous.
template <class T>
class Held {
 public:
  Held(const char* name, py::array array, std::initializer_list<int64_t> shape) : array_(std::move(array)) {
    bool fits = py::isinstance<py::array_t<T, py::array::c_style>>(array_) &&
                array_.ndim() == py::ssize_t(shape.size());
    py::ssize_t axis = 0;
    for (const int64_t size : shape) fits = fits && array_.shape(axis++) == size;
    if (!fits) throw py::value_error(sentence(name, shape));
  }

  const T* data() const { return static_cast<const T*>(array_.data()); }

 private:
  std::string sentence(const char* name, std::initializer_list<int64_t> shape) const {
    std::string wanted, arrived;
    for (const int64_t size : shape) wanted += (wanted.empty() ? "" : ", ") + std::to_string(size);
    for (py::ssize_t axis = 0; axis < array_.ndim(); ++axis)
      arrived += (axis ? ", " : "") + std::to_string(array_.shape(axis));
    return std::string("searcher: ") + name + " must be contiguous [" + wanted + "] of " +
           std::string(py::str(py::dtype::of<T>())) + ", got [" + arrived + "] of " +
           std::string(py::str(array_.dtype()));
  }

  py::array array_;
};

// The numbers that Python knows metrics and codecs by, and the room for places. Raise ValueError.
inline Metric metric_of(int number) {
  if (number < 0 || number > 2)
    throw py::value_error("searcher: metric must be 0 (ip), 1 (cosine) or 2 (l2), got " +
                          std::to_string(number));
  return Metric(number);
}

inline Codec codec_of(int number, bool ranges_given) {
  if (number < 0 || number >= kNumCodecs)
    throw py::value_error("searcher: codec must be from 0 to " + std::to_string(kNumCodecs - 1) + ", got " +
                          std::to_string(number));
  if (has_ranges(Codec(number)) && !ranges_given)
    throw py::value_error("searcher: codec " + std::to_string(number) + " needs ranges");
  return Codec(number);
}

inline int64_t count_of_places(int64_t rows) {
  if (rows >= (int64_t(1) << 32) - kPanelKeys)  // places of candidates have 32 bits
    throw py::value_error("searcher: at most 2^32 - 33 rows fit, got " + std::to_string(rows));
  return rows;
}

// Queries as most callers bring them: a contiguous array [Q, D] of float32, Q > 0. Else nothing.
inline std::optional<Rows> plain_queries(py::handle x, int64_t dim) {
  if (!py::isinstance<py::array_t<float, py::array::c_style>>(x)) return {};
  const auto array = py::reinterpret_borrow<py::array>(x);
  if (array.ndim() != 2 || array.shape(0) == 0 || array.shape(1) != dim) return {};
  if (reinterpret_cast<uintptr_t>(array.data()) % alignof(float)) return {};
  return Rows{array.data(), array.shape(0), dim, dim, DType::f32};
}

// A positive Python integer, or nothing.
inline std::optional<int64_t> positive(py::handle number) {
  if (!PyLong_CheckExact(number.ptr())) return {};
  const long long value = PyLong_AsLongLong(number.ptr());
  if (value == -1 && PyErr_Occurred()) PyErr_Clear();
  return value > 0 ? std::optional<int64_t>(value) : std::nullopt;
}

// What a search answers: [Q, K], where there are fewer id -1 and the worst float32, as FAISS has it.
class Answer {
 public:
  Answer(int64_t queries, int64_t k)
      : scores_({queries, k}),
        ids_({queries, k}),
        score_data_(scores_.mutable_data()),
        id_data_(ids_.mutable_data()) {}

  float* scores() { return score_data_; }
  int64_t* ids() { return id_data_; }

  // The ids at what was found, positions in the arrays of an index; infinitely bad rows are none. ids:
  // nullptr where positions are ids.
  void finish(Metric metric, const int64_t* ids) {
    const float sign = metric == Metric::l2 ? 1.0f : -1.0f;
    const float nothing = sign * std::numeric_limits<float>::infinity();
    const float worst = sign * std::numeric_limits<float>::max();
    for (int64_t i = 0; i < ids_.size(); ++i) {
      const bool found = id_data_[i] >= 0 && score_data_[i] != nothing;
      if (!found) score_data_[i] = worst;
      id_data_[i] = found ? (ids ? ids[id_data_[i]] : id_data_[i]) : -1;
    }
  }

  // The scores, the ids and what was counted.
  template <class... Counts>
  py::tuple with(Counts... counts) const {
    return py::make_tuple(scores_, ids_, counts...);
  }

 private:
  py::array_t<float> scores_;
  py::array_t<int64_t> ids_;
  float* score_data_;
  int64_t* id_data_;
};

class Stopwatch {
 public:
  int64_t nanoseconds() const { return std::chrono::nanoseconds(Clock::now() - begun_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begun_ = Clock::now();
};

void add_flat_searchers(py::module_& m);
void add_graph_searcher(py::module_& m);
void add_list_searcher(py::module_& m);
void add_product_code_searcher(py::module_& m);

}  // namespace fastret::bindings
