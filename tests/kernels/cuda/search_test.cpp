// The CUDA search on the simulator, compared bit for bit with plain definitions. Usage: search_test CASE.
#include "run_cases.h"
#include "search_filter_cases.h"
#include "sort_keys_host.h"

// What the simulator can run of the scans.
void fastret::cuda::scan(Launcher& launch, const ScanParams& params) {
  scan_portable(launch, params);
}

int main(int argc, char** argv) {
  using namespace fastret;
  constexpr Case cases[] = {
      {"search_off_tile", search_off_tile},
      {"search_ties", search_ties},
      {"search_sorted_keys", search_sorted_keys},
      {"search_any_k", search_any_k},
      {"search_empty", search_empty},
      {"search_values", search_values},
      {"search_scans", search_scans},
      {"search_near_duplicates", search_near_duplicates},
      {"search_allowed", search_allowed},
      {"search_excluded", search_excluded},
      {"search_labels", search_labels},
      {"search_ceilings", search_ceilings},
      {"search_allowed_and_excluded", search_allowed_and_excluded},
  };
  return run_cases(cases, argc, argv);
}
