#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <optional>

#include "kernels/cpu/kernels.h"
#include "ops/packed_keys.h"
#include "ops/parallel.h"

namespace fastret::ops {

void check_keys(const char* op, const Tensor& keys) {
  STD_TORCH_CHECK(keys.dim() == 2, op, ": keys must have 2 axes, got ", shape_of(keys));
}

Tensor key_frame_cpu(const Tensor& keys, int64_t metric) {
  check_keys("key_frame", keys);
  const Tensor x = with_contiguous_rows(keys);
  Tensor frame = torch::stable::new_empty(x, {2, x.size(1)}, ScalarType::Float);
  float* centre = frame.mutable_data_ptr<float>();
  cpu::key_frame(rows_of("key_frame", x), metric_of("key_frame", metric), centre, centre + x.size(1));
  return frame;
}

void pack_keys_cpu(const Tensor& keys, int64_t metric, int64_t first_pass, const Tensor& frame,
                   int64_t first_panel, Tensor panels, Tensor facts, const std::optional<Tensor>& axes,
                   std::optional<Tensor> head_residuals, std::optional<Tensor> tails, double defect) {
  check_keys("pack_keys", keys);
  const std::optional<Tensor> all_panels = panels, all_facts = facts, in_frame = frame;
  auto packed = packed_keys_of("pack_keys", keys, first_pass,
                               {all_panels, all_facts, in_frame, true, axes, head_residuals, tails, defect});
  const PackedKeys& made = *keys_of(packed);
  STD_TORCH_CHECK(first_panel >= 0 && first_panel <= num_panels(keys.size(0)),
                  "pack_keys: first_panel must be 0 to ", num_panels(keys.size(0)), ", got ", first_panel);
  const Tensor x = with_contiguous_rows(keys);
  PackKeysParams params{rows_of("pack_keys", x),
                        metric_of("pack_keys", metric),
                        made.first_pass,
                        made.centre,
                        made.direction,
                        first_panel,
                        panels.mutable_data_ptr(),
                        facts.mutable_data_ptr<float>()};
  if (made.principal) {
    params.principal = made.principal;
    params.head_residuals = head_residuals->mutable_data_ptr<float>();
    params.tails = tails->mutable_data_ptr();
  }
  cpu::pack_keys(params, TorchThreads(x.numel()));
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("key_frame", TORCH_BOX(&key_frame_cpu));
  m.impl("pack_keys_", TORCH_BOX(&pack_keys_cpu));
}

}  // namespace fastret::ops
