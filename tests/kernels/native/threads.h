// Parallel over std::thread: a new thread for every part, so that the thread sanitizer sees each hand-over.
#pragma once
#include <algorithm>
#include <thread>
#include <vector>

#include "kernels/params.h"

namespace fastret::test {

template <int num_threads>
Parallel threads() {
  return {[](int64_t count, int, void* context, void (*body)(void*, int64_t, int64_t)) {
            const int64_t parts = std::min<int64_t>(num_threads, count);
            std::vector<std::thread> others;
            for (int64_t part = 1; part < parts; ++part)
              others.emplace_back(body, context, count * part / parts, count * (part + 1) / parts);
            if (parts > 0) body(context, 0, count / parts);
            for (std::thread& other : others) other.join();
          },
          num_threads};
}

}  // namespace fastret::test
