// The chosen search kernel, checked before an op uses it.
#pragma once
#include "kernels/cuda/scan_choice.h"
#include "ops/check.h"

namespace fastret::ops {

// With the device of the queries current.
inline void check_search_kernel(const char* op) {
  STD_TORCH_CHECK(
      cuda::runs_here(cuda::search_kernel()), op,
      ": the search kernel 'hopper' needs compute capability 9.0, which the device of the queries has "
      "not");
}

}  // namespace fastret::ops
