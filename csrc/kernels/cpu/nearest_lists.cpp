#include "kernels/cpu/nearest_lists.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/canonical.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/found_rows.h"
#include "kernels/cpu/rows.h"

namespace fastret::cpu {

void nearest_lists(const NearestListsParams& p) {
  const DefaultFloatEnvironment environment;
  const float nothing = -std::numeric_limits<float>::infinity();
  RowReader queries(p.queries, 1), centroids(p.centroids, 1);
  for (int64_t q = 0; q < p.queries.rows; ++q) {
    const float* query = queries.read(q, 0);
    const double square = canonical_square(query, p.queries.dim);
    BestRows best(p.nprobe);
    for (int64_t first = 0; first < p.centroids.rows; first += kRowsPerCall) {
      const int size = int(std::min<int64_t>(kRowsPerCall, p.centroids.rows - first));
      const float* rows[kRowsPerCall];
      for (int r = 0; r < size; ++r) rows[r] = centroids.read(first + r, 0);
      float scores[kRowsPerCall];
      score_keys(p.metric, query, square, rows, nullptr, size, p.queries.dim, scores);
      for (int r = 0; r < size; ++r) {
        const float value = rank_value(p.metric, scores[r]);
        if (value > nothing) best.push({value, first + r, first + r});
      }
    }
    const std::vector<FoundRow>& nearest = best.sorted();
    for (int64_t i = 0; i < p.nprobe; ++i) {
      const bool there = i < int64_t(nearest.size());
      p.scores[q * p.nprobe + i] = rank_value(p.metric, there ? nearest[size_t(i)].value : nothing) + 0.0f;
      p.lists[q * p.nprobe + i] = there ? nearest[size_t(i)].id : -1;
    }
  }
}

}  // namespace fastret::cpu
