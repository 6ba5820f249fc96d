#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <optional>
#include <tuple>

#include "kernels/cpu/kmeans_steps.h"
#include "ops/check.h"
#include "ops/parallel.h"

namespace fastret::ops {
namespace {

// [.., ..] contiguous float32.
const float* floats_of(const char* name, const Tensor& tensor, int64_t axes) {
  STD_TORCH_CHECK(tensor.dim() == axes && tensor.scalar_type() == ScalarType::Float && tensor.is_contiguous(),
                  "kmeans_steps: ", name, " must be contiguous float32 of ", axes, " axes, got ",
                  shape_of(tensor));
  return static_cast<const float*>(tensor.const_data_ptr());
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> kmeans_steps_cpu(
    const Tensor& rows, const Tensor& centroids, const std::optional<Tensor>& weights, int64_t max_iterations,
    double previous_objective, double tolerance) {
  const float* row_data = floats_of("rows", rows, 2);
  const float* centroid_data = floats_of("centroids", centroids, 2);
  const float* weight_data = weights ? floats_of("weights", *weights, 1) : nullptr;
  const int64_t count = rows.size(0), clusters = centroids.size(0), dim = rows.size(1);
  STD_TORCH_CHECK(centroids.size(1) == dim && clusters > 0, "kmeans_steps: centroids must be [K > 0, ", dim,
                  "], got ", shape_of(centroids));
  STD_TORCH_CHECK(!weights || weights->size(0) == count, "kmeans_steps: weights must be [", count, "], got ",
                  shape_of(*weights));
  constexpr int64_t kMost = int64_t(1) << 31;
  STD_TORCH_CHECK(count < kMost && clusters < kMost, "kmeans_steps: N and K must be below 2^31, got ", count,
                  " and ", clusters);
  STD_TORCH_CHECK(max_iterations > 0, "kmeans_steps: max_iterations must be positive, got ", max_iterations);
  Tensor means = torch::stable::new_empty(rows, {clusters, dim});
  Tensor mean_weights = torch::stable::new_empty(rows, {clusters});
  Tensor sizes = torch::stable::new_empty(rows, {max_iterations, clusters}, ScalarType::Long);
  Tensor objectives = torch::stable::new_empty(rows, {max_iterations});
  Tensor iterations = torch::stable::new_empty(rows, {}, ScalarType::Long);
  int64_t& done = *static_cast<int64_t*>(iterations.mutable_data_ptr());
  done = cpu::kmeans_steps(
      {row_data, centroid_data, weight_data, count, clusters, dim, max_iterations, float(previous_objective),
       tolerance, static_cast<float*>(means.mutable_data_ptr()),
       static_cast<float*>(mean_weights.mutable_data_ptr()), static_cast<int64_t*>(sizes.mutable_data_ptr()),
       static_cast<float*>(objectives.mutable_data_ptr())},
      TorchThreads(count * clusters * dim / 8));
  STD_TORCH_CHECK(done > 0,
                  "kmeans_steps: found no centroid for some of the vectors, which are not finite or too far");
  return {means, mean_weights, sizes, objectives, iterations};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("kmeans_steps", TORCH_BOX(&kmeans_steps_cpu));
}

}  // namespace fastret::ops
