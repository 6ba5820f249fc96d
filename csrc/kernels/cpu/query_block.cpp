#include "kernels/cpu/query_block.h"

#include "kernels/cpu/float_environment.h"

namespace fastret::cpu {
namespace {

Rows slice(const Rows& rows, Range range) {
  const int64_t element_bytes = rows.dtype == DType::f32 ? 4 : 2;
  const char* data = static_cast<const char*>(rows.data) + range.begin * rows.row_stride * element_bytes;
  return {data, range.end - range.begin, rows.dim, rows.row_stride, rows.dtype};
}

}  // namespace

KeySet::KeySet(const Rows& keys, Metric key_metric, const KeyFilter& filter, const PackedKeys* packed_keys)
    : rows(keys), metric(key_metric), packed(packed_keys), allowed(filter.allowed) {
  if (!allowed) return;
  allowed_bits.assign(size_t(num_panels(keys.rows)), 0);
  for (int64_t key = 0; key < keys.rows; ++key)
    allowed_bits[size_t(key / kPanelKeys)] |= uint32_t(allowed[key]) << (key % kPanelKeys);
}

const Frame& KeySet::frame() const {
  if (!frame_ && packed)
    frame_ =
        Frame{{packed->centre, packed->centre + rows.dim}, {packed->direction, packed->direction + rows.dim}};
  else if (!frame_)
    frame_ = sample_frame(rows, metric);
  return *frame_;
}

QueryBlock::QueryBlock(const Rows& queries, Range block, const KeySet& keys, const KeyFilter& filter,
                       const Parallel& parallel, const float* ceilings)
    : block_(block),
      reader_(slice(queries, block), block.end - block.begin),
      rows_(size_t(block.end - block.begin)),
      squares_(size_t(block.end - block.begin)),
      num_excluded_(filter.excluded ? filter.num_excluded : 0),
      query_labels_(filter.query_labels ? filter.query_labels + block.begin : nullptr),
      key_labels_(filter.key_labels) {
  if (num_excluded_) {
    const int64_t* excluded = filter.excluded + block.begin * num_excluded_;
    excluded_.assign(excluded, excluded + size() * num_excluded_);
  }
  for (int64_t q = block.begin; ceilings && q < block.end; ++q)
    ceilings_.push_back(std::isnan(ceilings[q]) ? std::numeric_limits<float>::infinity()
                                                : rank_value(keys.metric, ceilings[q]));
  parallel(size(), [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t q = begin; q < end; ++q) {
      rows_[size_t(q)] = reader_.read(q, q);
      squares_[size_t(q)] = canonical_square(rows_[size_t(q)], keys.rows.dim);
      std::sort(excluded_.begin() + q * num_excluded_, excluded_.begin() + (q + 1) * num_excluded_);
    }
  });
}

}  // namespace fastret::cpu
