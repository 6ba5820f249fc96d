// Selections compared with a plain definition: drop NaN, sort stably. Each case forces one path by its
// tuning.
#pragma once
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "expectations.h"
#include "kernels/cuda/kernels.h"
#include "matrices.h"

namespace fastret {

constexpr cuda::SelectKTuning kSortShort = {2048, 0, 4, 64, 5, 512, 8, 1 << 20};
constexpr cuda::SelectKTuning kShared = {1, 4096, 4, 64, 5, 512, 8, 1 << 20};
constexpr cuda::SelectKTuning kFilter = {1, 0, 4, 64, 5, 512, 8, 1 << 20};
constexpr cuda::SelectKTuning kSort = {1, 0, 1 << 30, 64, 5, 512, 8, 1 << 20};

struct Select {
  cuda::SelectKTuning tuning;
  int64_t rows, columns, k;
  Fill fill;
  bool largest = true;
  DType dtype = DType::f32;
  int64_t padding = 0;
  int64_t misalignment = 0;  // elements between a 16-byte boundary and the first row
};

inline uint32_t stored_bits(const void* data, int64_t element, DType dtype) {
  const int64_t bytes = dtype == DType::f32 ? 4 : 2;
  uint32_t bits = 0;
  std::memcpy(&bits, static_cast<const char*>(data) + element * bytes, size_t(bytes));
  return bits;
}

inline uint32_t infinity_bits(DType dtype, bool negative) {
  if (dtype == DType::f32) return negative ? 0xff800000u : 0x7f800000u;
  return (dtype == DType::bf16 ? 0x7f80u : 0x7c00u) | (negative ? 0x8000u : 0);
}

// Runs select_k on rows whose values are also given as float32, [rows, columns], and compares every place.
inline void expect_selected(const std::string& name, const Rows& rows, const float* values, const Select& s) {
  std::vector<uint64_t> selected(size_t(s.rows * s.k + 1), 0xcdcdcdcdcdcdcdcd);
  std::vector<int64_t> columns(size_t(s.rows * s.k), -7);
  const SelectKParams params = {rows, s.k, s.largest, selected.data(), columns.data()};
  std::vector<uint64_t> workspace(size_t(cuda::select_k_workspace_bytes(params, s.tuning) / 8 + 1),
                                  0xabababababababab);
  expect(cuda::select_k(params, workspace.data(), nullptr, s.tuning) == cudaSuccess, name + ": launches");
  for (int64_t r = 0; r < s.rows; ++r) {
    const float* row = values + r * s.columns;
    std::vector<int64_t> order;
    for (int64_t c = 0; c < s.columns; ++c)
      if (row[c] == row[c]) order.push_back(c);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return s.largest ? row[a] > row[b] : row[a] < row[b]; });
    for (int64_t j = 0; j < s.k; ++j) {
      const int64_t column = j < int64_t(order.size()) ? order[size_t(j)] : -1, place = r * s.k + j;
      const uint32_t bits = stored_bits(selected.data(), place, s.dtype);
      const uint32_t expected = column < 0 ? infinity_bits(s.dtype, s.largest)
                                           : stored_bits(rows.data, r * rows.row_stride + column, s.dtype);
      expect(columns[size_t(place)] == column && bits == expected,
             name + ": row " + std::to_string(r) + " place " + std::to_string(j) + ": column " +
                 std::to_string(columns[size_t(place)]) + " bits " + std::to_string(bits) +
                 ", expected column " + std::to_string(column) + " bits " + std::to_string(expected));
    }
  }
}

inline void check_select(const std::string& name, const Select& s) {
  std::mt19937 random(11);
  Matrix values(s.rows, s.columns, s.dtype, s.padding);
  s.fill(values, random);
  values.store();
  // The rows end where their memory ends, so that a sanitizer sees a read beyond them.
  const size_t before = size_t(s.misalignment * values.element_bytes());
  std::vector<unsigned char> memory(before + values.raw.size());
  std::copy(values.raw.begin(), values.raw.end(), memory.begin() + int64_t(before));
  Rows rows = values.view();
  rows.data = memory.data() + before;
  expect_selected(name, rows, values.values.data(), s);
}

inline void rising_columns(Matrix& m, std::mt19937&) {
  for (int64_t i = 0; i < m.rows * m.dim; ++i) m.values[size_t(i)] = float(i % m.dim - m.dim / 2);
}

inline void falling_columns(Matrix& m, std::mt19937&) {
  for (int64_t i = 0; i < m.rows * m.dim; ++i) m.values[size_t(i)] = float(m.dim / 2 - i % m.dim);
}

inline void all_nan(Matrix& m, std::mt19937&) {
  std::fill(m.values.begin(), m.values.end(), kNan);
}

// What every path must get right, in either direction and every dtype.
inline void check_values(const cuda::SelectKTuning& tuning, int64_t columns, int64_t k) {
  const struct {
    const char* name;
    Fill fill;
  } fills[] = {{"gaussian", gaussian},
               {"few values", few_integers},
               {"all equal", all_equal},
               {"signed zeros", signed_zeros},
               {"wild", wild},
               {"mostly NaN", mostly_nan},
               {"all NaN", all_nan},
               {"rising", rising_columns},
               {"falling", falling_columns}};
  int variant = 0;
  for (const auto& fill : fills)
    for (bool largest : {true, false}) {
      const DType dtypes[] = {DType::f32, DType::bf16, DType::f16};
      const DType dtype = dtypes[variant++ % 3];
      check_select(fill.name, {tuning, 2, columns, k, fill.fill, largest, DType::f32});
      if (dtype != DType::f32)
        check_select(std::string(fill.name) + ", 16 bits",
                     {tuning, 2, columns, k, fill.fill, largest, dtype});
    }
}

// Every path is given these as well.
inline void check_sizes(const cuda::SelectKTuning& tuning) {
  check_select("k = 0", {tuning, 2, 70, 0, gaussian});
  check_select("no columns", {tuning, 2, 0, 3, gaussian});
  check_select("no rows", {tuning, 0, 10, 3, gaussian});
  check_select("one column", {tuning, 5, 1, 1, gaussian});
  check_select("one of few", {tuning, 3, 5, 1, gaussian, false});
  check_select("k > columns", {tuning, 2, 70, 150, gaussian, false, DType::bf16});
}

inline void select_short_rows() {
  check_values(kSortShort, 100, 17);
  check_sizes(kSortShort);
  check_select("rows beyond one block", {kSortShort, 70, 33, 33, few_integers, true, DType::f32, 2});
  check_select("the longest", {kSortShort, 2, 2048, 5, few_integers});
  check_select("k = columns", {kShared, 2, 900, 900, few_integers, false, DType::f16, 1});
}

inline void select_in_shared() {
  check_values(kShared, 1111, 33);
  check_sizes(kShared);
  check_select("the longest", {kShared, 2, 4096, 2048, few_integers, false, DType::f32, 3});
  check_select("most of a row", {kShared, 1, 2500, 1900, wild});
}

inline void select_long_rows() {
  check_values(kFilter, 3001, 100);
  check_sizes(kFilter);
  for (DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (int64_t misalignment : {0, 1, 3, 7})
      check_select(
          "misaligned by " + std::to_string(misalignment),
          {kFilter, 3, 2049 + misalignment, 40, few_integers, true, dtype, misalignment, misalignment});
  Select passes = {kFilter, 5, 2500, 10, gaussian};
  passes.tuning.candidate_bytes = 2 * 8 * 1000;
  check_select("passes over the rows", passes);
  check_select("k = 2048", {kFilter, 1, 9000, 2048, few_integers, false});
  for (int64_t k : {1, 10, 100})
    check_select("as tuned", {cuda::kSelectKTuning, 1, 20000, k, gaussian, true, DType::f32, 0, 1});
}

// Thresholds that far too few or far too many reach.
inline void select_misled() {
  cuda::SelectKTuning tuning = kFilter;
  tuning.spread = -10;
  for (Fill fill : {gaussian, few_integers, rising_columns, mostly_nan}) {
    check_select("too few", {tuning, 2, 2500, 90, fill});
    check_select("too many", {tuning, 2, 2500, 1, fill, false, DType::bf16});
  }
  check_select("too few to sort in one block", {tuning, 1, 9000, 2200, few_integers});
}

inline void select_sorted() {
  check_values(kSort, 2100, 2050);
  check_sizes(kSort);
  check_select("k > columns", {kSort, 3, 2060, 2100, few_integers});
  Select passes = {kSort, 5, 2100, 2100, few_integers, false, DType::f32, 1};
  passes.tuning.candidate_bytes = 2 * 16 * 2100;
  check_select("passes over the rows", passes);
  check_select("candidates", {kFilter, 2, 9000, 2200, few_integers, true, DType::bf16});
  check_select("candidates of few numbers", {kFilter, 2, 9000, 2200, mostly_nan, false});
  passes = {kFilter, 4, 9000, 2100, gaussian};
  passes.tuning.candidate_bytes = 1;
  check_select("passes over the candidates", passes);
  passes.tuning.candidate_bytes = 4 * 8 * 4000;
  check_select("passes, and sorts in chunks", passes);
}

// Rows further apart than 2^31 elements, in memory of which only the rows themselves are ever touched.
inline void select_far_rows() {
  for (const cuda::SelectKTuning& tuning : {kSortShort, kShared, kFilter}) {
    const Select s = {tuning, 2, 600, 20, gaussian};
    std::mt19937 random(5);
    Matrix values(s.rows, s.columns, s.dtype);
    s.fill(values, random);
    const int64_t stride = (int64_t(1) << 31) + 5;
    const size_t bytes = size_t(stride + s.columns) * sizeof(float);
    void* memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    expect(memory != MAP_FAILED, "far rows: 8 GiB of addresses");
    if (memory == MAP_FAILED) return;
    for (int64_t r = 0; r < s.rows; ++r)
      std::memcpy(static_cast<float*>(memory) + r * stride, values.row(r), size_t(s.columns) * sizeof(float));
    expect_selected("far rows", {memory, s.rows, s.columns, stride, s.dtype}, values.values.data(), s);
    munmap(memory, bytes);
  }
}

}  // namespace fastret
