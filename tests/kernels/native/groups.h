// The groups of checks, each in the file of its name.
#pragma once

namespace fastret::test {

void test_primitives();
void test_first_pass();
void test_tiles();
void test_error_bound();
void test_extra_scores();
void test_candidates();
void test_search();
void test_search_in_threads();
void test_range_search();
void test_list_search();
void test_select_k();
void test_pairwise_scores();
void test_unit_rows();
void test_pair_scores();
void test_hamming();
void test_hnsw();
void test_product_codes();
void test_contrastive();

struct Group {
  const char* name;
  void (*run)();
};

constexpr Group kGroups[] = {
    {"primitives", test_primitives},
    {"first_pass", test_first_pass},
    {"tiles", test_tiles},
    {"error_bound", test_error_bound},
    {"extra_scores", test_extra_scores},
    {"candidates", test_candidates},
    {"search", test_search},
    {"search_in_threads", test_search_in_threads},
    {"range_search", test_range_search},
    {"list_search", test_list_search},
    {"select_k", test_select_k},
    {"pairwise_scores", test_pairwise_scores},
    {"pair_scores", test_pair_scores},
    {"unit_rows", test_unit_rows},
    {"hamming", test_hamming},
    {"hnsw", test_hnsw},
    {"product_codes", test_product_codes},
    {"contrastive", test_contrastive},
};

}  // namespace fastret::test
