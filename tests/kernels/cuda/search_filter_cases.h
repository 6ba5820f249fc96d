// Searches that may not find every key.
#pragma once
#include "search_cases.h"

namespace fastret {

inline void search_allowed() {
  Search s = {5, 530, 6, 12, few_integers, Metric::inner_product, DType::f32, 1};
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    s.metric = metric;
    s.fill = wild;
    s.filter.allows = [](int64_t key) { return key % 3 == 1; };
    check_search("every third key", s);
    s.fill = few_integers;
    s.filter.allows = [](int64_t key) { return key == 49 || key == 255 || key == 256 || key == 529; };
    check_search("fewer than k keys", s);
    s.filter.allows = [](int64_t) { return false; };
    check_search("no key", s);
  }
  s.k = 530;
  check_search("no key, k = N", s);

  Search sorted = {3, 1300, 2, 10, rising};
  sorted.filter.allows = [](int64_t key) { return key < 100 || key == 1299; };
  check_search("the best not allowed", sorted);
  sorted.fill = falling;
  sorted.filter.allows = [](int64_t key) { return key >= 1100; };
  check_search("whole tiles not allowed", sorted);

  Search longer = {1, 5200, 1, 2100, few_integers, Metric::l2};
  longer.filter.allows = [](int64_t key) { return key % 2 == 0; };
  check_search("k and N beyond one block's sort", longer);
}

inline void search_excluded() {
  Search s = {7, 530, 6, 12, few_integers, Metric::inner_product};
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
      const int64_t outside[] = {-1, -2, 530, 531, 1 << 30, (int64_t(1) << 32) + 5, INT64_MIN, INT64_MAX};
      return place % 2 ? outside[place / 2 % 8] : place / 8 * 11 + query;
    };
    for (Fill fill : {few_integers, gaussian}) {
      s.fill = fill;
      check_search("repeated and beyond the keys", s);
    }
  }
  s.k = 200;
  check_search("without a scan", s);
  s.k = 12;
  s.tuning.query_bytes = 5000;
  check_search("in passes over the queries", s);

  Search sorted = {2, 1300, 2, 10, rising};
  sorted.filter.num_excluded = 1295;
  sorted.filter.excludes = [](int64_t query, int64_t place) { return 1299 - place - query; };
  check_search("the best, fewer than k left", sorted);
  sorted.filter.num_excluded = 1300;
  sorted.filter.excludes = [](int64_t, int64_t place) { return place; };
  check_search("every key", sorted);
}

inline void search_labels() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    Search s = {7, 400, 12, 9, gaussian, metric};
    s.filter.query_label = [](int64_t query) { return query / 2; };
    s.filter.key_label = [](int64_t key) { return key % 5; };
    check_search("labels", s);
    s.tuning.query_bytes = 5000;
    check_search("labels, in passes", s);
    s.fill = few_integers;
    s.filter.key_label = [](int64_t key) { return key < 390 ? int64_t(1) : -(int64_t(1) << 40); };
    check_search("most keys of one label", s);
    s.k = 150;
    check_search("labels, without a scan", s);
  }
}

inline void search_ceilings() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    Search s = {9, 400, 12, 9, gaussian, metric};
    s.ceiling = [](int64_t query) {
      const float ceilings[] = {0.0f, 0.2f, 0.5f, 3.0f, 14.0f, kInf, -kInf, kNan, 9.0f};
      return ceilings[query];
    };
    for (Fill fill : {gaussian, few_integers, near_duplicates, wild, any_norm}) {
      s.fill = fill;
      check_search("ceilings", s);
    }
    s.k = 150;
    check_search("ceilings, without a scan", s);
    s.k = 9;
    s.tuning.query_bytes = 5000;
    check_search("ceilings, in passes", s);
  }
}

inline void search_allowed_and_excluded() {
  Search s = {18, 600, 20, 30, gaussian, Metric::cosine, DType::bf16, 2};
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
