// Canonical scores of every key, for queries that no first pass can help.
#pragma once
#include <algorithm>
#include <vector>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/query_block.h"

namespace fastret::cpu {

// In how many parts of the keys, each scored by one thread.
inline int64_t exact_scan_parts(const KeySet& keys, const Parallel& parallel) {
  return std::clamp<int64_t>(keys.rows.rows / 256, 1, parallel.num_threads);
}

// found(part, e, value, key) for every key that query queries[e] may find; keys ascend within a part.
template <class F>
void exact_scan(const KeySet& keys, const QueryBlock& block, const std::vector<int64_t>& queries,
                const Parallel& parallel, F&& found) {
  constexpr int64_t kBlockBytes = 320 << 10;  // of rows: they stay in the second-level cache
  const int64_t dim = keys.rows.dim, num_keys = keys.rows.rows, parts = exact_scan_parts(keys, parallel);
  const int64_t block_keys =
      std::clamp<int64_t>(kBlockBytes / std::max<int64_t>(1, dim * 4), kRowsPerCall, 4096);
  parallel(parts, [&](int64_t task_begin, int64_t task_end) {
    const DefaultFloatEnvironment environment;
    RowReader reader(keys.rows, block_keys);
    std::vector<const float*> rows;
    std::vector<int64_t> numbers;
    float scores[kRowsPerCall];
    for (int64_t task = task_begin; task < task_end; ++task) {
      const Range range = part(num_keys, task, parts);
      for (int64_t first = range.begin; first < range.end; first += block_keys) {
        rows.clear();
        numbers.clear();
        for (int64_t key = first; key < std::min(range.end, first + block_keys); ++key) {
          if (keys.allowed && !keys.allowed[key]) continue;
          rows.push_back(reader.read(key, key - first));
          numbers.push_back(key);
        }
        const int64_t count = int64_t(rows.size());
        // Read ahead within the block; past its end the last row stands in.
        rows.resize(size_t(count + 2 * kRowsPerCall), count ? rows.back() : nullptr);
        for (size_t e = 0; e < queries.size(); ++e) {
          const int64_t q = queries[e];
          for (int64_t i = 0; i < count; i += kRowsPerCall) {
            const int size = int(std::min<int64_t>(kRowsPerCall, count - i));
            score_keys(keys.metric, block.row(q), block.square(q), rows.data() + i,
                       rows.data() + i + kRowsPerCall, size, dim, scores);
            for (int r = 0; r < size; ++r)
              if (!block.excludes(q, numbers[size_t(i + r)]))
                found(task, e, rank_value(keys.metric, scores[r]), numbers[size_t(i + r)]);
          }
        }
      }
    }
  });
}

}  // namespace fastret::cpu
