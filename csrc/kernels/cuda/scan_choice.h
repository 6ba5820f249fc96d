// Which kernel scans: the portable one, the one for compute capability 9.0, or by the device.
#pragma once
#include <optional>
#include <string>

namespace fastret::cuda {

enum class SearchKernel { portable, hopper, automatic };

// "portable", "hopper", "auto".
std::optional<SearchKernel> search_kernel_named(const std::string& name);
const char* name_of(SearchKernel kernel);

// At first what FASTRET_SEARCH_KERNEL names, else portable. Of the whole process.
SearchKernel search_kernel();
void use_search_kernel(SearchKernel kernel);

// Whether the current device can run it.
bool runs_here(SearchKernel kernel);

}  // namespace fastret::cuda
