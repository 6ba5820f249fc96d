// The queries of a scan as the first pass reads them, and their bounds.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/scan.h"

namespace fastret::cpu {

// Queries in groups of a tile, [steps, group] of 4 bytes each.
void Scan::pack_queries() {
  const int64_t count = int64_t(queries_.size());
  const int64_t tile = in_place_ ? kRowTileQueries : isa_.tile_queries[int(pass_)];
  const int64_t tiles = (count + tile - 1) / tile, threads = parallel_.num_threads;
  const int64_t groups = std::min(count, (tiles + threads - 1) / threads * threads);
  for (int64_t g = 0; g <= groups; ++g) group_starts_.push_back(part(count, g, groups).begin);
  if (!in_place_) packed_queries_.resize(size_t(count * steps_));
  if (heads_first_) query_tails_.resize(size_t(count * (steps_ - head_steps_)));
  parallel_(groups, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t g = begin; g < end; ++g) pack_group(g);
  });
}

void Scan::pack_group(int64_t group) {
  const int64_t first = group_starts_[size_t(group)], size = group_starts_[size_t(group) + 1] - first;
  const int64_t padded = padded_dim(keys_.rows.dim), tail_steps = steps_ - head_steps_;
  std::vector<float> rows(size_t(size * padded), 0.0f);
  std::vector<int32_t> integers(size_t(padded), 0);
  std::vector<CentredQuery> centred;
  for (int64_t r = 0; r < size; ++r) centred.push_back(centre_query(first + r, rows.data() + r * padded));
  if (principal_) {
    AxesRotation rotation(isa_, *principal_, keys_.rows.dim);
    for (int64_t r = 0; r < size; r += rotation.max_rows())
      rotation.rotate(rows.data() + r * padded, std::min(rotation.max_rows(), size - r), padded);
  }
  for (int64_t r = 0; r < size; ++r) {
    float* row = rows.data() + r * padded;
    finish_query(first + r, centred[size_t(r)], row, integers.data());
    if (in_place_) continue;
    const int32_t* steps =
        pass_ == FirstPass::float32 ? reinterpret_cast<const int32_t*>(row) : integers.data();
    for (int64_t s = 0; s < steps_; ++s) packed_queries_[size_t(first * steps_ + s * size + r)] = steps[s];
    if (heads_first_)
      std::copy_n(steps + head_steps_, tail_steps, query_tails_.begin() + (first + r) * tail_steps);
  }
}

// The query as the pass scores it, not rotated yet.
Scan::CentredQuery Scan::centre_query(int64_t i, float* row) const {
  const int64_t dim = keys_.rows.dim;
  const float* query = block_.row(queries_[size_t(i)]);
  const Centred whole = isa_.centre_row(query, 1.0, query_shift_.data(), frame_.direction.data(), dim, row);
  const double norm = std::sqrt(whole.square);
  if (pass_ == FirstPass::float32) return {norm, norm, 0};
  const float component = float(whole.component);
  double square = 0;
  for (int64_t d = 0; d < dim; ++d) {
    row[d] =
        float(double(query[d]) - query_shift_[size_t(d)] - double(component) * frame_.direction[size_t(d)]);
    square += double(row[d]) * row[d];
  }
  return {norm, std::sqrt(square), component};
}

// Rotates the query, unless axes did, into integers, and tells its bounds.
void Scan::finish_query(int64_t i, const CentredQuery& query, float* row, void* target) {
  const int64_t dim = keys_.rows.dim, head = principal_ ? principal_->head : dim;
  Integers integers;
  if (pass_ != FirstPass::float32) {
    if (!principal_) isa_.rotate(row, dim);
    const int levels = pass_ == FirstPass::int8 ? isa_.int8_query_levels : 32767;
    integers = quantise_row(isa_, pass_, row, dim, levels, 0, target);
  }
  if (pass_ == FirstPass::int8) {
    int32_t head_sum = 0, tail_sum = 0;
    const int8_t* elements = static_cast<const int8_t*>(target);
    for (int64_t d = 0; d < head; ++d) head_sum += elements[d];
    for (int64_t d = head; d < dim; ++d) tail_sum += elements[d];
    starts_[size_t(i)] = -128 * head_sum;
    tail_starts_[size_t(i)] = -128 * tail_sum;
  }
  QueryBounds& bounds = bounds_[size_t(i)];
  bounds = bound_.query(query.norm, query.projected_norm, query.component, integers);
  const int64_t q = queries_[size_t(i)];
  scales_[size_t(i)] = ValueScale(keys_, frame_, block_.row(q), block_.square(q));
  if (block_.has_ceilings()) ceilings_[size_t(i)] = ceiling_of(i);
  facts_[size_t(i)] = head_facts_[size_t(i)] = bounds.facts;
  if (heads_first_) head_facts_[size_t(i)].norm = bound_.head_norm(bounds, norm_beyond(row, head, dim));
}

}  // namespace fastret::cpu
