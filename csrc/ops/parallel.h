// torch's CPU thread pool as the kernels' Parallel: torch.set_num_threads holds, and no second pool competes.
#pragma once
#include <torch/csrc/stable/ops.h>

#include "kernels/params.h"

namespace fastret::ops {

// Below this many elementary steps, waking the pool costs more than it saves.
constexpr int64_t kWorthThreads = int64_t(1) << 16;

inline Parallel torch_threads(int64_t steps) {
  if (steps < kWorthThreads)
    return {
        [](int64_t count, void* context, void (*body)(void*, int64_t, int64_t)) { body(context, 0, count); },
        1};
  return {[](int64_t count, void* context, void (*body)(void*, int64_t, int64_t)) {
            if (count > 0)
              torch::stable::parallel_for(0, count, 1,
                                          [&](int64_t begin, int64_t end) { body(context, begin, end); });
          },
          int(torch::stable::get_num_threads())};
}

}  // namespace fastret::ops
