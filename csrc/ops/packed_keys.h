// Tensors of packed keys and of filters as the kernels' parameters. What they point to must outlive these.
#pragma once
#include <optional>
#include <type_traits>

#include "kernels/isa.h"
#include "ops/check.h"

namespace fastret::ops {

inline FirstPass first_pass_of(const char* op, int64_t first_pass) {
  STD_TORCH_CHECK(first_pass >= 0 && first_pass <= 2, op,
                  ": first_pass must be 0 (float32), 1 (int16) or 2 (int8), got ", first_pass);
  return FirstPass(first_pass);
}

// The frame is part of the proof: |centre| beyond float32's squares or a direction that is no unit vector
// would lose keys.
inline void check_frame(const char* op, const Tensor& frame, int64_t dim) {
  STD_TORCH_CHECK(frame.dim() == 2 && frame.size(0) == 2 && frame.size(1) == dim &&
                      frame.scalar_type() == ScalarType::Float && frame.is_contiguous(),
                  op, ": frame must be [2, ", dim, "] float32, contiguous, got ", shape_of(frame));
  const float* centre = static_cast<const float*>(frame.const_data_ptr());
  double centre_square = 0, direction_square = 0;
  for (int64_t d = 0; d < dim; ++d) {
    centre_square += double(centre[d]) * centre[d];
    direction_square += double(centre[dim + d]) * centre[dim + d];
  }
  STD_TORCH_CHECK(
      centre_square <= 1e36 && direction_square <= 1.02, op,
      ": frame must hold a centre of norm at most 1e18 and a direction of norm at most 1.01, got squares ",
      centre_square, " and ", direction_square);
}

inline void check_part(const char* op, const char* name, const Tensor& tensor, ScalarType type, int64_t count,
                       int64_t rows) {
  STD_TORCH_CHECK(tensor.dim() == 3 && tensor.size(0) >= count && tensor.size(1) == rows &&
                      tensor.size(2) == kPanelKeys && tensor.scalar_type() == type && tensor.is_contiguous(),
                  op, ": ", name, " must be [", count, ", ", rows, ", ", kPanelKeys,
                  type == ScalarType::Int ? "] int32" : "] float32", ", contiguous, got ", shape_of(tensor));
}

// The tensors of packed keys, as of the ops' schemas.
struct PackedTensors {
  const std::optional<Tensor>&panels, &facts, &frame;
  bool has_unbounded;
  const std::optional<Tensor>&axes, &head_residuals, &tails;
  double defect;
};

// What the kernels take; `principal` is pointed to by `keys`.
struct PackedArguments {
  PackedKeys keys;
  PrincipalAxes principal;
};

inline std::optional<PackedArguments> packed_keys_of(const char* op, const Tensor& keys, int64_t first_pass,
                                                     const PackedTensors& t) {
  STD_TORCH_CHECK(t.panels.has_value() == t.facts.has_value() && t.panels.has_value() == t.frame.has_value(),
                  op, ": panels, facts and frame belong together");
  STD_TORCH_CHECK(t.axes.has_value() == t.tails.has_value() &&
                      t.axes.has_value() == t.head_residuals.has_value() && (!t.axes || t.panels),
                  op, ": axes, head_residuals and tails belong together, and to panels");
  if (!t.panels) return std::nullopt;
  const FirstPass pass = first_pass_of(op, first_pass);
  const int64_t dim = keys.size(1), count = num_panels(keys.size(0)), steps = panel_steps(pass, dim);
  check_frame(op, *t.frame, dim);
  check_part(op, "facts", *t.facts, ScalarType::Float, count, kKeyFacts);
  PackedArguments arguments{};
  int64_t head_steps = steps;
  if (t.axes) {
    head_steps = t.panels->dim() == 3 ? t.panels->size(1) : 0;
    STD_TORCH_CHECK(pass == FirstPass::int8 && head_steps % 4 == 0 && head_steps > 0 && head_steps < steps,
                    op, ": panels beside principal axes must hold a multiple of 16 of the ", dim,
                    " dimensions as int8, got ", shape_of(*t.panels));
    check_part(op, "axes", *t.axes, ScalarType::Float, num_panels(dim), dim);
    check_part(op, "tails", *t.tails, ScalarType::Int, count, steps - head_steps);
    STD_TORCH_CHECK(t.head_residuals->dim() == 2 && t.head_residuals->size(0) >= count &&
                        t.head_residuals->size(1) == kPanelKeys &&
                        t.head_residuals->scalar_type() == ScalarType::Float &&
                        t.head_residuals->is_contiguous(),
                    op, ": head_residuals must be [", count, ", ", kPanelKeys, "] float32, contiguous, got ",
                    shape_of(*t.head_residuals));
    STD_TORCH_CHECK(t.defect >= 0 && t.defect < 1e-3, op, ": defect must be from 0 to 0.001, got ", t.defect);
    arguments.principal = {static_cast<const float*>(t.axes->const_data_ptr()), 4 * head_steps, t.defect,
                           static_cast<const float*>(t.head_residuals->const_data_ptr()),
                           t.tails->const_data_ptr()};
  }
  check_part(op, "panels", *t.panels, ScalarType::Int, count, head_steps);
  const float* centre = static_cast<const float*>(t.frame->const_data_ptr());
  arguments.keys = {pass,
                    t.panels->const_data_ptr(),
                    static_cast<const float*>(t.facts->const_data_ptr()),
                    centre,
                    centre + dim,
                    t.has_unbounded};
  return arguments;
}

// The keys, with their principal axes if they have any; valid while `arguments` stays where it is.
inline const PackedKeys* keys_of(std::optional<PackedArguments>& arguments) {
  if (!arguments) return nullptr;
  arguments->keys.principal = arguments->principal.axes ? &arguments->principal : nullptr;
  return &arguments->keys;
}

// Data of a [length] tensor, one number per query or key; nullptr without one.
template <class T>
const T* vector_of(const char* op, const char* name, const std::optional<Tensor>& tensor, int64_t length) {
  if (!tensor) return nullptr;
  constexpr bool integers = std::is_same_v<T, int64_t>;
  STD_TORCH_CHECK(tensor->dim() == 1 && tensor->size(0) == length && tensor->is_contiguous() &&
                      tensor->scalar_type() == (integers ? ScalarType::Long : ScalarType::Float),
                  op, ": ", name, " must be [", length, integers ? "] int64" : "] float32",
                  ", contiguous, got ", shape_of(*tensor));
  return static_cast<const T*>(tensor->const_data_ptr());
}

inline KeyFilter filter_of(const char* op, int64_t num_queries, int64_t num_keys,
                           const std::optional<Tensor>& allowed, const std::optional<Tensor>& excluded,
                           const std::optional<Tensor>& query_labels = {},
                           const std::optional<Tensor>& key_labels = {}) {
  STD_TORCH_CHECK(query_labels.has_value() == key_labels.has_value(), op,
                  ": query_labels and key_labels belong together");
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
  filter.query_labels = vector_of<int64_t>(op, "query_labels", query_labels, num_queries);
  filter.key_labels = vector_of<int64_t>(op, "key_labels", key_labels, num_keys);
  return filter;
}

}  // namespace fastret::ops
