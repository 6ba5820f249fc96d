// The CUDA search on the simulator with the Hopper scan: the same bits.
#include "kernels/cuda/scan_choice.h"
#include "run_cases.h"
#include "search_filter_cases.h"
#include "sort_keys_host.h"

namespace {

using namespace fastret;

void searches() {
  cuda::use_search_kernel(cuda::SearchKernel::hopper);
  check_search("two tiles of queries", {130, 300, 20, 3, gaussian, Metric::l2});
  check_search("norms from tiny to huge", {20, 600, 7, 12, any_norm, Metric::cosine});
  Search s = {9, 600, 70, 6, wild, Metric::inner_product};
  s.planes = true;
  s.filter.allows = [](int64_t key) { return key % 3 != 1; };
  check_search("planes of wild values, filtered", s);
}

}  // namespace

int main(int argc, char** argv) {
  constexpr Case cases[] = {{"searches", searches}};
  return run_cases(cases, argc, argv);
}
