// Canonical scores of each query with a few keys of its own.
#include <algorithm>
#include <limits>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/rows.h"

namespace fastret::cpu {

void pair_scores(const PairScoresParams& p, const Parallel& parallel) {
  parallel(p.queries.rows, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    RowReader query_reader(p.queries, 1), key_reader(p.keys, kRowsPerCall);
    for (int64_t q = begin; q < end; ++q) {
      const float* query = query_reader.read(q, 0);
      const double query_square = p.metric == Metric::cosine ? canonical_square(query, p.keys.dim) : 0.0;
      for (int64_t first = 0; first < p.num_pairs; first += kRowsPerCall) {
        const float* keys[kRowsPerCall];
        float found[kRowsPerCall];
        float* targets[kRowsPerCall];
        int count = 0;
        for (int64_t i = first; i < std::min(p.num_pairs, first + kRowsPerCall); ++i) {
          float& score = p.scores[q * p.num_pairs + i];
          const int64_t id = p.ids[q * p.num_pairs + i];
          score = std::numeric_limits<float>::quiet_NaN();
          if (id < 0 || id >= p.keys.rows) continue;
          keys[count] = key_reader.read(id, count);
          targets[count++] = &score;
        }
        if (count == 0) continue;
        score_keys(p.metric, query, query_square, keys, nullptr, count, p.keys.dim, found);
        for (int i = 0; i < count; ++i) *targets[i] = found[i];
      }
    }
  });
}

}  // namespace fastret::cpu
