// Searches compared with a plain definition: score all, drop what is NaN or filtered, sort.
#pragma once
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "expectations.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/split_rows.cuh"
#include "matrices.h"

namespace fastret {

// The keys that a search may find; a key or a place of the [Q, E] exclusions at a time.
struct Filter {
  bool (*allows)(int64_t key) = nullptr;
  int64_t num_excluded = 0;
  int64_t (*excludes)(int64_t query, int64_t place) = nullptr;
  int64_t (*query_label)(int64_t query) = nullptr;
  int64_t (*key_label)(int64_t key) = nullptr;

  bool rejects(int64_t query, int64_t key) const {
    if (allows && !allows(key)) return true;
    if (query_label && query_label(query) == key_label(key)) return true;
    for (int64_t e = 0; e < num_excluded; ++e)
      if (excludes(query, e) == key) return true;
    return false;
  }
};

// Buffers so small, and runs of one tile, that every path is taken by few keys.
constexpr cuda::SearchTuning kSmall = {1 << 20, 1, 64, 4};

struct Search {
  int64_t queries, keys, dim, k;
  Fill fill;
  Metric metric = Metric::inner_product;
  DType dtype = DType::f32;
  int64_t padding = 0;
  cuda::SearchTuning tuning = kSmall;
  Filter filter = {};
  float (*ceiling)(int64_t query) = nullptr;
  bool planes = false;
};

// Planes of the keys as an index holds them.
struct Planes {
  std::vector<uint16_t> high;
  std::vector<int16_t> low;
  std::vector<cuda::KeyFacts> facts;

  Planes(const Matrix& keys, Metric metric) {
    const size_t elements = size_t(keys.rows * cuda::plane_stride(keys.dim));
    const int64_t tiles = cuda::ceil_div(keys.rows, cuda::kKeyTile);
    const int64_t rows = tiles * cuda::kKeyTile;
    high.assign(size_t(rows * cuda::plane_stride(keys.dim)), 0xffff);
    low.assign(elements, 0x55);
    facts.assign(size_t(rows), cuda::KeyFacts{kNan, kNan, kNan, kNan});
    const bool complete = keys.dtype == DType::bf16;
    expect(cuda::split_rows({keys.view(), metric, high.data(), complete ? nullptr : low.data(), facts.data()},
                            nullptr) == cudaSuccess,
           "split_rows launches");
    if (complete) low.clear();
  }

  cuda::KeyPlanes view() const { return {high.data(), low.empty() ? nullptr : low.data(), facts.data()}; }
};

inline void check_search(const char* name, const Search& s) {
  std::mt19937 random(7);
  Matrix queries(s.queries, s.dim, s.dtype, s.padding), keys(s.keys, s.dim, s.dtype, s.padding);
  s.fill(queries, random);
  s.fill(keys, random);
  if (s.fill == rising || s.fill == falling) std::fill(queries.values.begin(), queries.values.end(), 1.0f);
  queries.store();
  keys.store();
  std::vector<float> scores(size_t(s.queries * s.k), kNan), ceilings;
  std::vector<int64_t> ids(scores.size(), -7);
  const auto allowed = std::make_unique<bool[]>(size_t(s.keys));
  for (int64_t n = 0; n < s.keys; ++n) allowed[size_t(n)] = !s.filter.allows || s.filter.allows(n);
  std::vector<int64_t> excluded, query_labels, key_labels;
  for (int64_t q = 0; q < s.queries; ++q) {
    for (int64_t e = 0; e < s.filter.num_excluded; ++e) excluded.push_back(s.filter.excludes(q, e));
    if (s.filter.query_label) query_labels.push_back(s.filter.query_label(q));
    if (s.ceiling) ceilings.push_back(s.ceiling(q));
  }
  for (int64_t n = 0; s.filter.key_label && n < s.keys; ++n) key_labels.push_back(s.filter.key_label(n));
  SearchParams params = {queries.view(), keys.view(), s.metric, s.k, scores.data(), ids.data()};
  if (s.filter.allows) params.filter.allowed = allowed.get();
  if (s.filter.excludes) params.filter.excluded = excluded.data();
  params.filter.num_excluded = s.filter.num_excluded;
  if (s.filter.query_label) params.filter.query_labels = query_labels.data();
  if (s.filter.query_label) params.filter.key_labels = key_labels.data();
  if (s.ceiling) params.ceilings = ceilings.data();
  std::vector<uint64_t> workspace(size_t(cuda::search_workspace_bytes(params, s.planes, s.tuning) / 8),
                                  0xabababababababab);
  cudaError_t error;
  if (s.planes) {
    const Planes planes(keys, s.metric);
    const cuda::KeyPlanes view = planes.view();
    params.keys.data = nullptr;
    error = cuda::search(params, &view, workspace.data(), nullptr, s.tuning);
  } else {
    error = cuda::search(params, nullptr, workspace.data(), nullptr, s.tuning);
  }
  expect(error == cudaSuccess, std::string(name) + ": launches");

  for (int64_t q = 0; q < s.queries; ++q) {
    std::vector<float> ranks(size_t(s.keys));
    std::vector<int64_t> order;
    for (int64_t n = 0; n < s.keys; ++n) {
      const float score = score_of(s.metric, queries.row(q), keys.row(n), s.dim);
      ranks[size_t(n)] = rank_value(s.metric, score);
      const bool beats = s.ceiling && (s.metric == Metric::l2 ? score < s.ceiling(q) : score > s.ceiling(q));
      if (score == score && !beats && !s.filter.rejects(q, n)) order.push_back(n);
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

inline void search_off_tile() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_search("off tile", {17, 161, 37, 7, gaussian, metric, DType::f32, 5});
    check_search("one pair", {1, 1, 1, 1, gaussian, metric});
  }
  check_search("bfloat16", {5, 97, 70, 9, gaussian, Metric::cosine, DType::bf16, 1});
  check_search("float16", {5, 97, 70, 9, gaussian, Metric::l2, DType::f16});
}

inline void search_ties() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_search("few integers", {5, 300, 3, 40, few_integers, metric});
    check_search("all equal", {3, 300, 5, 70, all_equal, metric});
  }
}

inline void search_sorted_keys() {
  check_search("rising", {3, 1300, 2, 10, rising});
  check_search("rising, nearer", {3, 1300, 2, 10, falling, Metric::l2});
  check_search("falling", {3, 1300, 2, 10, falling});
}

inline void search_any_k() {
  check_search("k = N", {3, 150, 4, 150, gaussian});
  check_search("k > N", {3, 150, 4, 190, few_integers, Metric::l2});
  check_search("k = 0", {3, 150, 4, 0, gaussian});
  check_search("k beyond one block's sort", {2, 2400, 2, 2300, few_integers});
  check_search("k beyond one block's sort, of a scan", {1, 8500, 1, 2100, few_integers});
}

inline void search_empty() {
  check_search("no keys", {3, 0, 4, 5, gaussian});
  check_search("no keys, l2", {3, 0, 4, 5, gaussian, Metric::l2});
  check_search("no queries", {0, 10, 4, 5, gaussian});
  check_search("no dimensions", {2, 40, 0, 5, gaussian, Metric::cosine});
}

inline void search_values() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_search("wild", {9, 400, 2, 30, wild, metric});
    check_search("mostly NaN", {3, 400, 1, 60, mostly_nan, metric});
    check_search("norms from tiny to huge", {5, 500, 7, 12, any_norm, metric});
  }
}

// More queries than one tile holds, runs of several lengths, and the same keys as planes.
inline void search_scans() {
  constexpr cuda::SearchTuning longer = {1 << 20, 1 << 20, 256, 4};
  check_search("two tiles of queries", {130, 600, 40, 3, gaussian, Metric::cosine});
  check_search("some queries, longer rows", {20, 600, 90, 5, gaussian, Metric::l2, DType::f32, 3, longer});
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_search("longer runs", {4, 1500, 33, 5, gaussian, metric, DType::f32, 3, longer});
    check_search("passes over the queries",
                 {7, 600, 3, 5, gaussian, metric, DType::f32, 0, {6000, 1, 64, 4}});
    const DType dtype = metric == Metric::inner_product ? DType::f32
                        : metric == Metric::cosine      ? DType::bf16
                                                        : DType::f16;
    Search s = {5, 1100, 34, 6, gaussian, metric, dtype, 2, longer};
    s.planes = true;
    check_search("planes", s);
    s.fill = any_norm;
    s.dtype = DType::f32;
    check_search("planes of any norm", s);
  }
}

// More keys lie within the error bound of the best than buffers hold: a finer scan decides, and where even
// that keeps too many, canonical scores of all keys.
inline void search_near_duplicates() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    for (Fill fill : {close_duplicates, near_duplicates, nearer_duplicates}) {
      check_search("near duplicates", {17, 300, 7, 4, fill, metric});
      Search s = {3, 800, 7, 60, fill, metric, DType::f32, 0, {1 << 20, 1 << 20, 64, 64}};
      s.filter.allows = [](int64_t key) { return key % 3 != 1; };
      check_search("in parts, filtered", s);
      s.planes = fill == near_duplicates;
      if (s.planes) check_search("planes", s);
    }
  }
}

}  // namespace fastret
