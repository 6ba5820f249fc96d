// The groups of checks, each in the file of its name.
#pragma once

namespace fastret::test {

void test_primitives();
void test_error_bound();
void test_search();
void test_search_in_threads();
void test_select_k();
void test_pairwise_scores();

struct Group {
  const char* name;
  void (*run)();
};

constexpr Group kGroups[] = {
    {"primitives", test_primitives}, {"error_bound", test_error_bound},
    {"search", test_search},         {"search_in_threads", test_search_in_threads},
    {"select_k", test_select_k},     {"pairwise_scores", test_pairwise_scores},
};

}  // namespace fastret::test
