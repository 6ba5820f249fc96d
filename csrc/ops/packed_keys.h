// Tensors of packed keys and of filters as the kernels' parameters. What they point to must outlive these.
#pragma once
#include <optional>

#include "kernels/isa.h"
#include "ops/check.h"

namespace fastret::ops {

inline int64_t num_panels(int64_t rows) {
  return (rows + kPanelKeys - 1) / kPanelKeys;
}

inline FirstPass first_pass_of(const char* op, int64_t first_pass) {
  STD_TORCH_CHECK(first_pass >= 0 && first_pass <= 2, op,
                  ": first_pass must be 0 (float32), 1 (int16) or 2 (int8), got ", first_pass);
  return FirstPass(first_pass);
}

inline void check_frame(const char* op, const Tensor& frame, int64_t dim) {
  STD_TORCH_CHECK(frame.dim() == 2 && frame.size(0) == 2 && frame.size(1) == dim &&
                      frame.scalar_type() == ScalarType::Float && frame.is_contiguous(),
                  op, ": frame must be [2, ", dim, "] float32, contiguous, got ", shape_of(frame));
}

// panels [P, steps, kPanelKeys] int32 and facts [P, kKeyFacts, kPanelKeys] float32 of keys [N, D].
inline void check_panels(const char* op, const Tensor& keys, FirstPass pass, const Tensor& panels,
                         const Tensor& facts) {
  const int64_t count = num_panels(keys.size(0)), steps = panel_steps(pass, keys.size(1));
  STD_TORCH_CHECK(panels.dim() == 3 && panels.size(0) >= count && panels.size(1) == steps &&
                      panels.size(2) == kPanelKeys && panels.scalar_type() == ScalarType::Int &&
                      panels.is_contiguous(),
                  op, ": panels must be [", count, ", ", steps, ", ", kPanelKeys, "] int32, contiguous, got ",
                  shape_of(panels));
  STD_TORCH_CHECK(facts.dim() == 3 && facts.size(0) >= count && facts.size(1) == kKeyFacts &&
                      facts.size(2) == kPanelKeys && facts.scalar_type() == ScalarType::Float &&
                      facts.is_contiguous(),
                  op, ": facts must be [", count, ", ", kKeyFacts, ", ", kPanelKeys,
                  "] float32, contiguous, got ", shape_of(facts));
}

inline std::optional<PackedKeys> packed_keys_of(const char* op, const Tensor& keys, int64_t first_pass,
                                                const std::optional<Tensor>& panels,
                                                const std::optional<Tensor>& facts,
                                                const std::optional<Tensor>& frame, bool has_unbounded) {
  STD_TORCH_CHECK(panels.has_value() == facts.has_value() && panels.has_value() == frame.has_value(), op,
                  ": panels, facts and frame belong together");
  if (!panels) return std::nullopt;
  const FirstPass pass = first_pass_of(op, first_pass);
  check_frame(op, *frame, keys.size(1));
  check_panels(op, keys, pass, *panels, *facts);
  const float* centre = static_cast<const float*>(frame->const_data_ptr());
  return PackedKeys{pass,   panels->const_data_ptr(), static_cast<const float*>(facts->const_data_ptr()),
                    centre, centre + keys.size(1),    has_unbounded};
}

inline KeyFilter filter_of(const char* op, int64_t num_queries, int64_t num_keys,
                           const std::optional<Tensor>& allowed, const std::optional<Tensor>& excluded) {
  KeyFilter filter;
  if (allowed) {
    STD_TORCH_CHECK(allowed->dim() == 1 && allowed->size(0) == num_keys &&
                        allowed->scalar_type() == ScalarType::Bool && allowed->is_contiguous(),
                    op, ": allowed must be [", num_keys, "] bool, contiguous, got ", shape_of(*allowed));
    filter.allowed = static_cast<const bool*>(allowed->const_data_ptr());
  }
  if (excluded) {
    STD_TORCH_CHECK(excluded->dim() == 2 && excluded->size(0) == num_queries &&
                        excluded->scalar_type() == ScalarType::Long && excluded->is_contiguous(),
                    op, ": excluded must be [", num_queries, ", E] int64, contiguous, got ",
                    shape_of(*excluded));
    filter.excluded = static_cast<const int64_t*>(excluded->const_data_ptr());
    filter.num_excluded = excluded->size(1);
  }
  return filter;
}

}  // namespace fastret::ops
