#include "kernels/cuda/scan_choice.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/scan.h"

namespace fastret::cuda {
namespace {

constexpr SearchKernel kAll[] = {SearchKernel::portable, SearchKernel::hopper, SearchKernel::automatic};

// The Hopper kernel stays off until a device has shown that its results equal the portable one's.
SearchKernel initial_choice() {
  const char* wanted = std::getenv("FASTRET_SEARCH_KERNEL");
  if (!wanted || !*wanted) return SearchKernel::portable;
  if (const auto named = search_kernel_named(wanted)) return *named;
  std::fprintf(stderr, "fastret: FASTRET_SEARCH_KERNEL=%s is not portable, hopper or auto; using portable\n",
               wanted);
  return SearchKernel::portable;
}

std::atomic<SearchKernel>& choice() {
  static std::atomic<SearchKernel> current{initial_choice()};
  return current;
}

// sm_90a code runs on devices of exactly this capability.
bool is_hopper() {
  int device = 0, major = 0, minor = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess &&
         major == 9 && minor == 0;
}

}  // namespace

const char* name_of(SearchKernel kernel) {
  constexpr const char* kNames[] = {"portable", "hopper", "auto"};
  return kNames[int(kernel)];
}

std::optional<SearchKernel> search_kernel_named(const std::string& name) {
  for (const SearchKernel kernel : kAll)
    if (name == name_of(kernel)) return kernel;
  return std::nullopt;
}

SearchKernel search_kernel() {
  return choice().load();
}

void use_search_kernel(SearchKernel kernel) {
  choice().store(kernel);
}

bool runs_here(SearchKernel kernel) {
  return kernel != SearchKernel::hopper || is_hopper();
}

void scan(Launcher& launch, const ScanParams& params) {
  const SearchKernel kernel = search_kernel();
  // A tensor map counts rows in 32 bits with a sign.
  const bool countable = params.num_keys <= INT32_MAX;
  if (kernel == SearchKernel::portable || !countable || (kernel == SearchKernel::automatic && !is_hopper()))
    scan_portable(launch, params);
  else
    scan_hopper(launch, params);
}

}  // namespace fastret::cuda
