// select_k on the simulator, compared bit for bit with its definition. Usage: select_test CASE.
#include "run_cases.h"
#include "select_cases.h"
#include "sort_keys_host.h"

int main(int argc, char** argv) {
  using namespace fastret;
  constexpr Case cases[] = {
      {"select_short_rows", select_short_rows}, {"select_in_shared", select_in_shared},
      {"select_long_rows", select_long_rows},   {"select_misled", select_misled},
      {"select_sorted", select_sorted},         {"select_far_rows", select_far_rows},
  };
  return run_cases(cases, argc, argv);
}
