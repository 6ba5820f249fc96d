#include "kernels/cpu/list_scan.h"

#include "kernels/cpu/value_scale.h"

namespace fastret::cpu {

ListWork::ListWork(const InvertedLists& inverted_lists, const Probes& of_probes, Metric of_metric,
                   const QueryBlock& of_block)
    : lists(inverted_lists),
      probes(of_probes),
      metric(of_metric),
      dim(lists.dim),
      block(of_block),
      bound(ErrorBound::in_place(of_metric, lists.dim)) {
  for (int64_t q = 0; q < block.size(); ++q) {
    const double norm = std::sqrt(block.square(q));
    bounds.push_back(bound.query(norm, norm, 0, {}));
  }
}

std::vector<uint32_t> ListWork::queries(Range part, bool bounded) const {
  std::vector<uint32_t> chosen;
  for (int64_t q = part.begin; q < part.end; ++q)
    if (!std::isnan(block.square(q)) && fits_first_pass(block.square(q)) == bounded)
      chosen.push_back(uint32_t(q));
  return chosen;
}

float ListWork::lowest_end(int64_t q, double value) const {
  const double t = ValueScale::in_place(metric, dim, block.square(q)).t_below(value);
  return round_down(t - bounds[size_t(q)].extra);
}

void score_places(const ListWork& work, ListRows& rows, int64_t q, const RowPlace* places, int64_t count,
                  float* values) {
  for (int64_t first = 0; first < count; first += kRowsPerCall) {
    const int size = int(std::min<int64_t>(kRowsPerCall, count - first));
    const float *keys[kRowsPerCall], *next[kRowsPerCall];
    for (int r = 0; r < size; ++r) keys[r] = rows.read(places[first + r], r);
    for (int64_t r = 0; rows.in_place() && r < kRowsPerCall; ++r)
      next[r] = rows.read(places[std::min(first + kRowsPerCall + r, count - 1)], 0);
    score_keys(work.metric, work.block.row(q), work.block.square(q), keys, rows.in_place() ? next : nullptr,
               size, work.dim, values + first);
    for (int r = 0; r < size; ++r) values[first + r] = rank_value(work.metric, values[first + r]);
  }
}

}  // namespace fastret::cpu
