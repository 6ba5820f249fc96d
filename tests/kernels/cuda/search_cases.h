// Searches compared with a plain definition: score all, drop what is NaN or filtered, sort.
#pragma once
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "expectations.h"
#include "kernels/cuda/kernels.h"
#include "matrices.h"

namespace fastret {

// The keys that a search may find; a key or a place of the [Q, E] exclusions at a time.
struct Filter {
  bool (*allows)(int64_t key) = nullptr;
  int64_t num_excluded = 0;
  int64_t (*excludes)(int64_t query, int64_t place) = nullptr;

  bool rejects(int64_t query, int64_t key) const {
    if (allows && !allows(key)) return true;
    for (int64_t e = 0; e < num_excluded; ++e)
      if (excludes(query, e) == key) return true;
    return false;
  }
};

struct Search {
  int64_t queries, keys, dim, k;
  Fill fill;
  Metric metric = Metric::inner_product;
  DType dtype = DType::f32;
  int64_t padding = 0;
  cuda::SearchTuning tuning = {4096, 64, 128, 1 << 20};
  Filter filter = {};
};

inline void check_search(const char* name, const Search& s) {
  std::mt19937 random(7);
  Matrix queries(s.queries, s.dim, s.dtype, s.padding), keys(s.keys, s.dim, s.dtype, s.padding);
  s.fill(queries, random);
  s.fill(keys, random);
  if (s.fill == rising || s.fill == falling) std::fill(queries.values.begin(), queries.values.end(), 1.0f);
  queries.store();
  keys.store();
  std::vector<float> scores(size_t(s.queries * s.k), kNan);
  std::vector<int64_t> ids(scores.size(), -7);
  const auto allowed = std::make_unique<bool[]>(size_t(s.keys));
  for (int64_t n = 0; n < s.keys; ++n) allowed[size_t(n)] = !s.filter.allows || s.filter.allows(n);
  std::vector<int64_t> excluded;
  for (int64_t q = 0; q < s.queries; ++q)
    for (int64_t e = 0; e < s.filter.num_excluded; ++e) excluded.push_back(s.filter.excludes(q, e));
  const SearchParams params = {queries.view(),
                               keys.view(),
                               s.metric,
                               s.k,
                               scores.data(),
                               ids.data(),
                               {s.filter.allows ? allowed.get() : nullptr,
                                s.filter.excludes ? excluded.data() : nullptr, s.filter.num_excluded}};
  std::vector<uint64_t> workspace(size_t(cuda::search_workspace_bytes(params, s.tuning) / 8),
                                  0xabababababababab);
  expect(cuda::search(params, workspace.data(), nullptr, s.tuning) == cudaSuccess,
         std::string(name) + ": launches");

  for (int64_t q = 0; q < s.queries; ++q) {
    std::vector<float> ranks(size_t(s.keys));
    std::vector<int64_t> order;
    for (int64_t n = 0; n < s.keys; ++n) {
      ranks[size_t(n)] = rank_value(s.metric, score_of(s.metric, queries.row(q), keys.row(n), s.dim));
      if (ranks[size_t(n)] == ranks[size_t(n)] && !s.filter.rejects(q, n)) order.push_back(n);
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
    check_search("few integers", {5, 200, 3, 40, few_integers, metric});
    check_search("all equal", {3, 300, 5, 70, all_equal, metric});
  }
}

inline void search_sorted_keys() {
  check_search("rising", {3, 400, 2, 10, rising});
  check_search("rising, nearer", {3, 400, 2, 10, falling, Metric::l2});
  check_search("falling", {3, 400, 2, 10, falling});
}

inline void search_any_k() {
  check_search("k = N", {3, 150, 4, 150, gaussian});
  check_search("k > N", {3, 150, 4, 190, few_integers, Metric::l2});
  check_search("k = 0", {3, 150, 4, 0, gaussian});
  check_search("k beyond one block's sort", {2, 2400, 2, 2300, few_integers});
  check_search(
      "k and N beyond one block's sort, in chunks",
      {1, 5200, 1, 2100, few_integers, Metric::inner_product, DType::f32, 0, {16, 2100, 2200, 1 << 20}});
}

inline void search_empty() {
  check_search("no keys", {3, 0, 4, 5, gaussian});
  check_search("no keys, l2", {3, 0, 4, 5, gaussian, Metric::l2});
  check_search("no queries", {0, 10, 4, 5, gaussian});
  check_search("no dimensions", {2, 40, 0, 5, gaussian, Metric::cosine});
}

inline void search_values() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_search("wild", {9, 200, 2, 30, wild, metric});
    check_search("mostly NaN", {3, 200, 1, 60, mostly_nan, metric});
  }
}

inline void search_plan() {
  // Three passes over the queries; chunks that outgrow the sort of one block.
  check_search("passes", {7, 150, 3, 5, few_integers, Metric::l2, DType::f32, 0, {3, 32, 64, 1 << 20}});
  check_search("radix merge",
               {2, 2600, 2, 20, few_integers, Metric::l2, DType::f32, 0, {16, 2500, 4096, 1 << 20}});
  check_search("little memory",
               {5, 150, 3, 5, gaussian, Metric::cosine, DType::f32, 0, {4096, 32, 4096, 1024}});
}

// Chunks that begin within tiles: at keys 0, 50, 100, 170.
constexpr cuda::SearchTuning kUnevenChunks = {4096, 50, 70, 1 << 20};

inline void search_allowed() {
  Search s = {5, 230, 6, 12, few_integers, Metric::inner_product, DType::f32, 1, kUnevenChunks};
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    s.metric = metric;
    s.fill = wild;
    s.filter.allows = [](int64_t key) { return key % 3 == 1; };
    check_search("every third key", s);
    s.fill = few_integers;
    s.filter.allows = [](int64_t key) { return key == 49 || key == 50 || key == 229; };
    check_search("fewer than k keys", s);
    s.filter.allows = [](int64_t) { return false; };
    check_search("no key", s);
  }
  s.k = 230;
  check_search("no key, k = N", s);

  Search sorted = {3, 400, 2, 10, rising};
  sorted.filter.allows = [](int64_t key) { return key < 100 || key == 399; };
  check_search("the best not allowed", sorted);
  sorted.fill = falling;
  sorted.filter.allows = [](int64_t key) { return key >= 300; };
  check_search("whole tiles and chunks not allowed", sorted);

  Search longer = {1, 5200, 1, 2100, few_integers, Metric::l2};
  longer.tuning = {16, 2100, 2200, 1 << 20};
  longer.filter.allows = [](int64_t key) { return key % 2 == 0; };
  check_search("k and N beyond one block's sort", longer);
}

inline void search_excluded() {
  Search s = {7, 230, 6, 12, few_integers, Metric::inner_product, DType::f32, 0, kUnevenChunks};
  s.filter.excludes = [](int64_t, int64_t) -> int64_t { return -1; };
  check_search("no places", s);
  s.filter.num_excluded = 3;
  check_search("padding only", s);
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    s.metric = metric;
    s.filter.num_excluded = 1;
    s.filter.excludes = [](int64_t query, int64_t) { return query + 47; };
    check_search("one key of each query", s);
    s.filter.num_excluded = 40;
    s.filter.excludes = [](int64_t query, int64_t place) {
      const int64_t outside[] = {-1, -2, 230, 231, 1 << 30, (int64_t(1) << 32) + 5, INT64_MIN, INT64_MAX};
      return place % 2 ? outside[place / 2 % 8] : place / 8 * 11 + query;
    };
    check_search("repeated and beyond the keys", s);
  }
  s.tuning.max_queries = 3;
  check_search("in passes over the queries", s);

  Search sorted = {2, 400, 2, 10, rising};
  sorted.filter.num_excluded = 395;
  sorted.filter.excludes = [](int64_t query, int64_t place) { return 399 - place - query; };
  check_search("the best, fewer than k left", sorted);
  sorted.filter.num_excluded = 400;
  sorted.filter.excludes = [](int64_t, int64_t place) { return place; };
  check_search("every key", sorted);
}

inline void search_allowed_and_excluded() {
  Search s = {18, 300, 20, 30, gaussian, Metric::cosine, DType::bf16, 2, kUnevenChunks};
  s.filter.allows = [](int64_t key) { return key % 7 < 2; };
  s.filter.num_excluded = 35;
  s.filter.excludes = [](int64_t query, int64_t place) {
    return place % 5 ? place * 7 + query % 2 : int64_t(-1);
  };
  check_search("both", s);
  s.keys = 0;
  check_search("no keys", s);
}

}  // namespace fastret
