#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

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
                   int64_t first_panel, Tensor panels, Tensor facts) {
  check_keys("pack_keys", keys);
  const FirstPass pass = first_pass_of("pack_keys", first_pass);
  check_frame("pack_keys", frame, keys.size(1));
  check_panels("pack_keys", keys, pass, panels, facts);
  STD_TORCH_CHECK(first_panel >= 0 && first_panel <= num_panels(keys.size(0)),
                  "pack_keys: first_panel must be 0 to ", num_panels(keys.size(0)), ", got ", first_panel);
  const Tensor x = with_contiguous_rows(keys);
  const float* centre = static_cast<const float*>(frame.const_data_ptr());
  cpu::pack_keys({rows_of("pack_keys", x), metric_of("pack_keys", metric), pass, centre, centre + x.size(1),
                  first_panel, panels.mutable_data_ptr(), facts.mutable_data_ptr<float>()},
                 TorchThreads(x.numel()));
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("key_frame", TORCH_BOX(&key_frame_cpu));
  m.impl("pack_keys_", TORCH_BOX(&pack_keys_cpu));
}

}  // namespace fastret::ops
