// The CUDA kernels on the simulator (simt.h), compared bit for bit with plain definitions. Usage: host_test
// CASE.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "expectations.h"
#include "kernels/cuda/kernels.h"
#include "matrices.h"
#include "pair_scores_cases.h"
#include "search_cases.h"
#include "simt.h"

using namespace fastret;

namespace {

struct Select {
  int64_t rows, columns, k;
  Fill fill;
  bool largest = true;
  DType dtype = DType::f32;
  int64_t padding = 0;
  cuda::SelectKTuning tuning = {512, 8, 1 << 20};
};

void check_select(const char* name, const Select& s) {
  std::mt19937 random(11);
  Matrix values(s.rows, s.columns, s.dtype, s.padding);
  s.fill(values, random);
  values.store();
  std::vector<unsigned char> selected(size_t(s.rows * s.k * values.element_bytes()), 0xcd);
  std::vector<int64_t> columns(size_t(s.rows * s.k), -7);
  const SelectKParams params = {values.view(), s.k, s.largest, selected.data(), columns.data()};
  std::vector<uint64_t> workspace(size_t(cuda::select_k_workspace_bytes(params, s.tuning) / 8),
                                  0xabababababababab);
  expect(cuda::select_k(params, workspace.data(), nullptr, s.tuning) == cudaSuccess,
         std::string(name) + ": launches");

  for (int64_t r = 0; r < s.rows; ++r) {
    const float* row = values.row(r);
    std::vector<int64_t> order;
    for (int64_t c = 0; c < s.columns; ++c)
      if (row[c] == row[c]) order.push_back(c);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return s.largest ? row[a] > row[b] : row[a] < row[b]; });
    for (int64_t j = 0; j < s.k; ++j) {
      const bool found = j < int64_t(order.size());
      const int64_t column = found ? order[size_t(j)] : -1;
      const size_t place = size_t(r * s.k + j);
      const unsigned char* bytes = selected.data() + int64_t(place) * values.element_bytes();
      uint16_t half = 0;
      float value = 0;
      if (s.dtype == DType::f32) {
        std::memcpy(&value, bytes, 4);
      } else {
        std::memcpy(&half, bytes, 2);
        value = s.dtype == DType::bf16 ? widen_bf16(half) : widen_f16(half);
      }
      expect(columns[place] == column && same_bits(value, found ? row[column] : (s.largest ? -kInf : kInf)),
             std::string(name) + ": row " + std::to_string(r) + " place " + std::to_string(j) + ": column " +
                 std::to_string(columns[place]) + " value " + std::to_string(value) + ", expected column " +
                 std::to_string(column));
    }
  }
}

void check_pairs(const char* name, Metric metric, DType dtype, DType out, int64_t num_queries,
                 int64_t num_keys, int64_t dim, Fill fill) {
  constexpr int64_t batch = 2;
  std::mt19937 random(13);
  Matrix queries(batch * num_queries, dim, dtype, 3), keys(batch * num_keys, dim, dtype, 1);
  fill(queries, random);
  fill(keys, random);
  queries.store();
  keys.store();
  Matrix scores(batch * num_queries, num_keys, out);
  scores.store();
  Rows query_view = queries.view(), key_view = keys.view();
  query_view.rows = num_queries;
  key_view.rows = num_keys;
  const cudaError_t error =
      cuda::pairwise_scores({query_view, key_view, metric, scores.raw.data(), out},
                            {batch, num_queries * queries.stride, num_keys * keys.stride}, nullptr);
  expect(error == cudaSuccess, std::string(name) + ": launches");
  Matrix expected(batch * num_queries, num_keys, out);
  for (int64_t q = 0; q < batch * num_queries; ++q)
    for (int64_t n = 0; n < num_keys; ++n)
      expected.values[size_t(q * num_keys + n)] =
          score_of(metric, queries.row(q), keys.row(q / num_queries * num_keys + n), dim);
  expected.store();
  for (size_t i = 0; i < expected.values.size(); ++i) {
    float score = 0;
    uint16_t half = 0;
    if (out == DType::f32) {
      std::memcpy(&score, scores.raw.data() + 4 * i, 4);
    } else {
      std::memcpy(&half, scores.raw.data() + 2 * i, 2);
      score = out == DType::bf16 ? widen_bf16(half) : widen_f16(half);
    }
    expect(same_bits(score, expected.values[i]), std::string(name) + ": pair " + std::to_string(i) + " is " +
                                                     std::to_string(score) + ", expected " +
                                                     std::to_string(expected.values[i]));
  }
}

void select_rows() {
  for (bool largest : {true, false}) {
    check_select("off block", {3, 777, 33, gaussian, largest, DType::f32, 5});
    check_select("few values", {2, 5000, 100, few_integers, largest});
    check_select("all equal", {1, 4500, 77, all_equal, largest});
    check_select("signed zeros", {2, 3001, 100, signed_zeros, largest});
    check_select("bfloat16", {2, 3001, 20, gaussian, largest, DType::bf16, 1});
    check_select("float16", {2, 3001, 20, few_integers, largest, DType::f16});
    check_select("wild", {2, 3001, 400, wild, largest});
    check_select("mostly NaN", {2, 3001, 600, mostly_nan, largest});
  }
  check_select("one column", {5, 1, 1, gaussian});
  check_select("rising", {1, 9000, 10, rising});
  check_select("passes", {5, 2500, 10, gaussian, true, DType::f32, 0, {512, 1, 40000}});
}

void select_any_k() {
  check_select("k = columns", {2, 900, 900, few_integers});
  check_select("k = columns, beyond one block's sort", {2, 2500, 2500, few_integers, false});
  check_select("k > columns", {2, 70, 90, gaussian});
  check_select("k = 0", {2, 70, 0, gaussian});
  check_select("no columns", {2, 0, 3, gaussian});
  check_select("no rows", {0, 10, 3, gaussian});
  check_select("two passes of the global sort", {1, 9000, 5000, few_integers, true, DType::bf16});
}

void pairs() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_pairs("float32", metric, DType::f32, DType::f32, 19, 45, 131, gaussian);
    check_pairs("wild", metric, DType::f32, DType::f32, 9, 40, 3, wild);
    check_pairs("halves", metric, DType::f16, DType::bf16, 5, 33, 18, gaussian);
    check_pairs("bfloat16", metric, DType::bf16, DType::f16, 5, 33, 18, gaussian);
  }
  check_pairs("no dimensions", Metric::cosine, DType::f32, DType::f32, 3, 5, 0, gaussian);
  check_pairs("no keys", Metric::cosine, DType::f32, DType::f32, 3, 0, 5, gaussian);
}

// 1.25^2 2^-54 + (q - x)^2 rounds to the float32 below when the square is rounded first, as canonical.h
// demands, and to the float32 above under a fused multiply-add.
void l2_rounds_each_step() {
  Matrix query(1, 17, DType::f32), key(1, 17, DType::f32);
  query.values[0] = 0x1.4p-27f;
  query.values[16] = 0x1.37b4p+0f;
  key.values[16] = -0x1.525f8cp-23f;
  query.store();
  key.store();
  float score = 0;
  cuda::pairwise_scores({query.view(), key.view(), Metric::l2, &score, DType::f32}, {1, 17, 17}, nullptr);
  expect(score == 0x1.7b86dcp+0f, "the difference, its square and the sum are each rounded");
}

const struct {
  const char* name;
  void (*run)();
} kCases[] = {
    {"search_off_tile", search_off_tile},
    {"search_ties", search_ties},
    {"search_sorted_keys", search_sorted_keys},
    {"search_any_k", search_any_k},
    {"search_empty", search_empty},
    {"search_values", search_values},
    {"search_plan", search_plan},
    {"search_allowed", search_allowed},
    {"search_excluded", search_excluded},
    {"search_allowed_and_excluded", search_allowed_and_excluded},
    {"select_rows", select_rows},
    {"select_any_k", select_any_k},
    {"pairs", pairs},
    {"own_pairs", own_pairs},
    {"l2_rounds_each_step", l2_rounds_each_step},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    for (const auto& c : kCases) std::puts(c.name);
    return 0;
  }
  for (const auto& c : kCases) {
    if (std::strcmp(c.name, argv[1]) != 0) continue;
    for (unsigned seed : {1u, 2u}) {
      simt::seed(seed);
      c.run();
    }
    if (failures) std::fprintf(stderr, "%d comparisons failed\n", failures);
    return failures != 0;
  }
  std::fprintf(stderr, "unknown case %s\n", argv[1]);
  return 2;
}
