// torch's CPU thread pool as the kernels' Parallel: torch.set_num_threads holds, and no second pool competes.
#pragma once
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <atomic>

#include "kernels/params.h"

namespace fastret::ops {

// Below this many elementary steps, waking the pool costs more than it saves.
constexpr int64_t kWorthThreads = int64_t(1) << 16;

// The threads of one op. Ops that several Python threads run at once, each with a pool of its own, share
// torch's number of threads among them: more would only take turns on the cores.
class TorchThreads {
 public:
  explicit TorchThreads(int64_t steps)
      : share_(int(torch::stable::get_num_threads()) / (running().fetch_add(1) + 1)),
        parallel_{run, steps < kWorthThreads ? 1 : std::max(1, share_)} {}
  ~TorchThreads() { running().fetch_sub(1); }
  TorchThreads(const TorchThreads&) = delete;
  TorchThreads& operator=(const TorchThreads&) = delete;

  operator const Parallel&() const { return parallel_; }

 private:
  static std::atomic<int>& running() {
    static std::atomic<int> count{0};
    return count;
  }

  static void run(int64_t count, int num_threads, void* context, void (*body)(void*, int64_t, int64_t)) {
    if (num_threads == 1 || count == 1) return body(context, 0, count);
    if (count == 0) return;
    // A grain of so many makes at most num_threads tasks.
    torch::stable::parallel_for(0, count, (count + num_threads - 1) / num_threads,
                                [&](int64_t begin, int64_t end) { body(context, begin, end); });
  }

  int share_;
  Parallel parallel_;
};

}  // namespace fastret::ops
