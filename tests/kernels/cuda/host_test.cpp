// The CUDA kernels on the simulator (simt.h), compared bit for bit with plain definitions. Usage: host_test
// CASE.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/canonical.h"
#include "kernels/cuda/kernels.h"
#include "kernels/half.h"
#include "simt.h"

using namespace fastret;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int failures = 0;

void expect(bool ok, const std::string& what) {
  if (ok || ++failures > 20) return;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

// Vectors as float32 and as they are stored: `padding` more elements between rows, and a guarded end.
struct Matrix {
  int64_t rows, dim, stride;
  DType dtype;
  std::vector<float> values;       // [rows, dim], exactly what is stored
  std::vector<unsigned char> raw;  // [rows, stride] of dtype; no byte beyond the last row's last element

  Matrix(int64_t rows, int64_t dim, DType dtype, int64_t padding = 0)
      : rows(rows), dim(dim), stride(dim + padding), dtype(dtype), values(size_t(rows * dim)) {}

  int64_t element_bytes() const { return dtype == DType::f32 ? 4 : 2; }

  void store() {
    raw.assign(size_t(rows ? ((rows - 1) * stride + dim) * element_bytes() : 0),
               0xff);  // 0xff..: NaN between rows
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t d = 0; d < dim; ++d) {
        float& value = values[size_t(r * dim + d)];
        unsigned char* target = raw.data() + (r * stride + d) * element_bytes();
        if (dtype == DType::f32) {
          std::memcpy(target, &value, 4);
        } else {
          const uint16_t bits = dtype == DType::bf16 ? round_to_bf16(value) : round_to_f16(value);
          std::memcpy(target, &bits, 2);
          value = dtype == DType::bf16 ? widen_bf16(bits) : widen_f16(bits);
        }
      }
  }

  Rows view() const { return {raw.data(), rows, dim, stride, dtype}; }
  const float* row(int64_t r) const { return values.data() + r * dim; }
};

using Fill = void (*)(Matrix&, std::mt19937&);

void gaussian(Matrix& m, std::mt19937& random) {
  std::normal_distribution<float> normal;
  for (float& v : m.values) v = normal(random);
}

void few_integers(Matrix& m, std::mt19937& random) {
  for (float& v : m.values) v = float(int(random() % 3) - 1);
}

void all_equal(Matrix& m, std::mt19937&) {
  std::fill(m.values.begin(), m.values.end(), 0.5f);
}

// Every key beats those before it for a query of positive values: each chunk's keys all become candidates.
void rising(Matrix& m, std::mt19937&) {
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t d = 0; d < m.dim; ++d) m.values[size_t(r * m.dim + d)] = float(r + 1);
}

void falling(Matrix& m, std::mt19937&) {
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t d = 0; d < m.dim; ++d) m.values[size_t(r * m.dim + d)] = float(m.rows - r);
}

void wild(Matrix& m, std::mt19937& random) {
  const float specials[] = {0.0f, -0.0f, kInf, -kInf, kNan, 3e38f, -3e38f, 1e-45f, 1.0f, -1.0f};
  for (float& v : m.values) v = random() % 4 ? float(int(random() % 5) - 2) : specials[random() % 10];
}

void mostly_nan(Matrix& m, std::mt19937& random) {
  for (float& v : m.values) v = random() % 8 ? kNan : float(random() % 4);
}

void signed_zeros(Matrix& m, std::mt19937& random) {
  for (float& v : m.values) v = random() % 2 ? 0.0f : -0.0f;
}

double canonical_sum(Metric metric, const float* query, const float* key, int64_t dim) {
  double lanes[16] = {};
  for (int64_t d = 0; d < dim; ++d) {
    const double q = query[d], x = key[d];
    lanes[d % 16] += metric == Metric::l2 ? (q - x) * (q - x) : q * x;
  }
  return fold_lanes(lanes);
}

float score_of(Metric metric, const float* query, const float* key, int64_t dim) {
  return canonical_score(metric, canonical_sum(metric, query, key, dim),
                         canonical_sum(Metric::inner_product, query, query, dim),
                         canonical_sum(Metric::inner_product, key, key, dim));
}

bool same_bits(float a, float b) {
  return bits_of_float(a) == bits_of_float(b) || (a != a && b != b);
}

struct Search {
  int64_t queries, keys, dim, k;
  Fill fill;
  Metric metric = Metric::inner_product;
  DType dtype = DType::f32;
  int64_t padding = 0;
  cuda::SearchTuning tuning = {4096, 64, 128, 1 << 20};
};

void check_search(const char* name, const Search& s) {
  std::mt19937 random(7);
  Matrix queries(s.queries, s.dim, s.dtype, s.padding), keys(s.keys, s.dim, s.dtype, s.padding);
  s.fill(queries, random);
  s.fill(keys, random);
  if (s.fill == rising || s.fill == falling) std::fill(queries.values.begin(), queries.values.end(), 1.0f);
  queries.store();
  keys.store();
  std::vector<float> scores(size_t(s.queries * s.k), kNan);
  std::vector<int64_t> ids(scores.size(), -7);
  const SearchParams params = {queries.view(), keys.view(), s.metric, s.k, scores.data(), ids.data()};
  std::vector<uint64_t> workspace(size_t(cuda::search_workspace_bytes(params, s.tuning) / 8),
                                  0xabababababababab);
  expect(cuda::search(params, workspace.data(), nullptr, s.tuning) == cudaSuccess,
         std::string(name) + ": launches");

  for (int64_t q = 0; q < s.queries; ++q) {
    std::vector<float> ranks(size_t(s.keys));
    std::vector<int64_t> order;
    for (int64_t n = 0; n < s.keys; ++n) {
      ranks[size_t(n)] = rank_value(s.metric, score_of(s.metric, queries.row(q), keys.row(n), s.dim));
      if (ranks[size_t(n)] == ranks[size_t(n)]) order.push_back(n);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return ranks[size_t(a)] > ranks[size_t(b)]; });
    for (int64_t j = 0; j < s.k; ++j) {
      const bool found = j < int64_t(order.size());
      const int64_t id = found ? order[size_t(j)] : -1;
      const float score = found ? score_of(s.metric, queries.row(q), keys.row(id), s.dim)
                                : (s.metric == Metric::l2 ? kInf : -kInf);
      const size_t place = size_t(q * s.k + j);
      expect(ids[place] == id && same_bits(scores[place], score),
             std::string(name) + ": query " + std::to_string(q) + " place " + std::to_string(j) + ": id " +
                 std::to_string(ids[place]) + " score " + std::to_string(scores[place]) + ", expected " +
                 std::to_string(id) + " " + std::to_string(score));
    }
  }
}

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

void search_off_tile() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_search("off tile", {17, 161, 37, 7, gaussian, metric, DType::f32, 5});
    check_search("one pair", {1, 1, 1, 1, gaussian, metric});
  }
  check_search("bfloat16", {5, 97, 70, 9, gaussian, Metric::cosine, DType::bf16, 1});
  check_search("float16", {5, 97, 70, 9, gaussian, Metric::l2, DType::f16});
}

void search_ties() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_search("few integers", {5, 200, 3, 40, few_integers, metric});
    check_search("all equal", {3, 300, 5, 70, all_equal, metric});
  }
}

void search_sorted_keys() {
  check_search("rising", {3, 400, 2, 10, rising});
  check_search("rising, nearer", {3, 400, 2, 10, falling, Metric::l2});
  check_search("falling", {3, 400, 2, 10, falling});
}

void search_any_k() {
  check_search("k = N", {3, 150, 4, 150, gaussian});
  check_search("k > N", {3, 150, 4, 190, few_integers, Metric::l2});
  check_search("k = 0", {3, 150, 4, 0, gaussian});
  check_search("k beyond one block's sort", {2, 2400, 2, 2300, few_integers});
  check_search(
      "k and N beyond one block's sort, in chunks",
      {1, 5200, 1, 2100, few_integers, Metric::inner_product, DType::f32, 0, {16, 2100, 2200, 1 << 20}});
}

void search_empty() {
  check_search("no keys", {3, 0, 4, 5, gaussian});
  check_search("no keys, l2", {3, 0, 4, 5, gaussian, Metric::l2});
  check_search("no queries", {0, 10, 4, 5, gaussian});
  check_search("no dimensions", {2, 40, 0, 5, gaussian, Metric::cosine});
}

void search_values() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_search("wild", {9, 200, 2, 30, wild, metric});
    check_search("mostly NaN", {3, 200, 1, 60, mostly_nan, metric});
  }
}

void search_plan() {
  // Three passes over the queries; chunks that outgrow the sort of one block.
  check_search("passes", {7, 150, 3, 5, few_integers, Metric::l2, DType::f32, 0, {3, 32, 64, 1 << 20}});
  check_search("radix merge",
               {2, 2600, 2, 20, few_integers, Metric::l2, DType::f32, 0, {16, 2500, 4096, 1 << 20}});
  check_search("little memory",
               {5, 150, 3, 5, gaussian, Metric::cosine, DType::f32, 0, {4096, 32, 4096, 1024}});
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
    {"select_rows", select_rows},
    {"select_any_k", select_any_k},
    {"pairs", pairs},
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
