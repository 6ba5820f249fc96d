#include <torch/csrc/stable/library.h>

#include <optional>
#include <tuple>

#include "kernels/cuda/kernels.h"
#include "ops/cuda_stream.h"
#include "ops/packed_keys.h"
#include "ops/search_kernel.h"

namespace fastret::ops {

namespace {

// Asynchronous copies move 16 bytes.
bool is_aligned(const Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0;
}

void check_plane(const char* op, const char* name, const Tensor& plane, ScalarType type, int64_t rows,
                 int64_t dim) {
  const int64_t stride = cuda::plane_stride(dim);
  STD_TORCH_CHECK(plane.dim() == 2 && plane.size(0) >= rows && plane.size(1) == stride &&
                      plane.scalar_type() == type && plane.is_contiguous() && is_aligned(plane),
                  op, ": ", name, " must have at least ", rows, " rows of ", stride,
                  " elements of 16 bits, contiguous from a multiple of 16 bytes on, got ", shape_of(plane));
}

void check_facts(const char* op, const Tensor& facts, int64_t rows) {
  STD_TORCH_CHECK(facts.dim() == 2 && facts.size(0) >= rows && facts.size(1) == 4 &&
                      facts.scalar_type() == ScalarType::Float && facts.is_contiguous() && is_aligned(facts),
                  op, ": facts must have at least ", rows,
                  " rows of 4 float32, contiguous from a multiple of 16 bytes on, got ", shape_of(facts));
}

}  // namespace

void split_rows_cuda(const Tensor& rows, int64_t metric, int64_t first, Tensor high,
                     std::optional<Tensor> low, Tensor facts) {
  STD_TORCH_CHECK(rows.dim() == 2 && first >= 0,
                  "split_rows_: rows must have 2 axes and first be at least 0, got ", shape_of(rows), " and ",
                  first);
  const int64_t dim = rows.size(1), end = first + rows.size(0), stride = cuda::plane_stride(dim);
  check_plane("split_rows_", "high", high, ScalarType::UInt16, end, dim);
  if (low) check_plane("split_rows_", "low", *low, ScalarType::Short, end, dim);
  STD_TORCH_CHECK(low || rows.scalar_type() == ScalarType::BFloat16,
                  "split_rows_: only bfloat16 rows need no low plane");
  check_facts("split_rows_", facts, end);
  check_beside("split_rows_", rows, "high", high);
  check_beside("split_rows_", rows, "low", low);
  check_beside("split_rows_", rows, "facts", facts);
  const torch::stable::accelerator::DeviceGuard guard(rows.get_device_index());
  const Tensor x = with_contiguous_rows(rows);
  STD_CUDA_CHECK(
      cuda::split_rows({rows_of("split_rows_", x), metric_of("split_rows_", metric),
                        static_cast<uint16_t*>(high.mutable_data_ptr()) + first * stride,
                        low ? static_cast<int16_t*>(low->mutable_data_ptr()) + first * stride : nullptr,
                        static_cast<cuda::KeyFacts*>(facts.mutable_data_ptr()) + first},
                       current_stream(x)));
}

std::tuple<Tensor, Tensor> search_planes_cuda(const Tensor& queries, const Tensor& high,
                                              const std::optional<Tensor>& low, const Tensor& facts,
                                              int64_t dim, int64_t num_keys, int64_t k, int64_t metric,
                                              const std::optional<Tensor>& allowed,
                                              const std::optional<Tensor>& excluded,
                                              int64_t workspace_bytes) {
  STD_TORCH_CHECK(queries.dim() == 2 && queries.size(1) == dim, "search_planes: queries must be [Q, ", dim,
                  "], got ", shape_of(queries));
  STD_TORCH_CHECK(num_keys >= 0 && num_keys < cuda::kMostKeys, "search_planes: num_keys must be below ",
                  cuda::kMostKeys, ", got ", num_keys);
  check_k("search_planes", k);
  // A kernel reads whole tiles.
  const int64_t room = (num_keys + cuda::kKeyTile - 1) / cuda::kKeyTile * cuda::kKeyTile;
  check_plane("search_planes", "high", high, ScalarType::UInt16, room, dim);
  if (low) check_plane("search_planes", "low", *low, ScalarType::Short, num_keys, dim);
  check_facts("search_planes", facts, room);
  check_beside("search_planes", queries, "high", high);
  check_beside("search_planes", queries, "low", low);
  check_beside("search_planes", queries, "facts", facts);
  check_beside("search_planes", queries, "allowed", allowed);
  check_beside("search_planes", queries, "excluded", excluded);
  const torch::stable::accelerator::DeviceGuard guard(queries.get_device_index());
  check_search_kernel("search_planes");
  const Tensor q = with_contiguous_rows(queries);
  Tensor scores = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Float);
  Tensor ids = torch::stable::new_empty(q, {q.size(0), k}, ScalarType::Long);
  const SearchParams params = {rows_of("search_planes", q),
                               {nullptr, num_keys, dim, 0, DType::f32},
                               metric_of("search_planes", metric),
                               k,
                               scores.mutable_data_ptr<float>(),
                               ids.mutable_data_ptr<int64_t>(),
                               filter_of("search_planes", q.size(0), num_keys, allowed, excluded)};
  const cuda::KeyPlanes planes = {static_cast<const uint16_t*>(high.const_data_ptr()),
                                  low ? static_cast<const int16_t*>(low->const_data_ptr()) : nullptr,
                                  static_cast<const cuda::KeyFacts*>(facts.const_data_ptr())};
  const cuda::SearchTuning tuning =
      workspace_bytes > 0 ? cuda::search_tuning_within(workspace_bytes) : cuda::kSearchTuning;
  const Tensor workspace = allocate_workspace(q, cuda::search_workspace_bytes(params, true, tuning));
  STD_CUDA_CHECK(cuda::search(params, &planes, workspace.mutable_data_ptr(), current_stream(q), tuning));
  return {scores, ids};
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CUDA, m) {
  m.impl("split_rows_", TORCH_BOX(&split_rows_cuda));
  m.impl("search_planes", TORCH_BOX(&search_planes_cuda));
}

}  // namespace fastret::ops
