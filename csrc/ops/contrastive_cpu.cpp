#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <optional>

#include "kernels/contrastive.h"
#include "ops/check.h"
#include "ops/parallel.h"

namespace fastret::ops {
namespace {

using MaybeTensor = std::optional<Tensor>;

ScoreType score_type(const char* op, const Tensor& scores) {
  if (scores.scalar_type() == ScalarType::Double) return ScoreType::f64;
  return ScoreType(dtype_of(op, scores.scalar_type()));
}

// The rows of a matrix of C contiguous elements each.
void check_scores(const char* op, const char* name, const Tensor& scores, const Tensor& like) {
  STD_TORCH_CHECK(scores.dim() == 2 && (scores.size(1) <= 1 || scores.stride(1) == 1), op, ": ", name,
                  " must be 2-D with contiguous rows, got ", shape_of(scores));
  STD_TORCH_CHECK(scores.size(0) == like.size(0) && scores.size(1) == like.size(1) &&
                      scores.scalar_type() == like.scalar_type(),
                  op, ": ", name, " must have the shape and dtype of the scores, got ", shape_of(scores));
}

// [fields, count] float64, each field contiguous; fields 0: [count].
double* doubles_of(const char* op, const char* name, const Tensor& tensor, int64_t fields, int64_t count) {
  const int64_t axes = fields ? 2 : 1;
  STD_TORCH_CHECK(tensor.dim() == axes && tensor.scalar_type() == ScalarType::Double &&
                      tensor.size(axes - 1) == count && (count <= 1 || tensor.stride(axes - 1) == 1) &&
                      (!fields || tensor.size(0) == fields),
                  op, ": ", name, " must be float64 of ", fields, " fields for each of ", count, ", got ",
                  shape_of(tensor));
  return static_cast<double*>(tensor.mutable_data_ptr());
}

double* doubles_of(const char* op, const char* name, const MaybeTensor& tensor, int64_t fields,
                   int64_t count) {
  return tensor ? doubles_of(op, name, *tensor, fields, count) : nullptr;
}

// bounds [2, rows] and columns [*] int64.
ColumnLists lists_of(const char* op, const MaybeTensor& bounds, const MaybeTensor& columns, int64_t first,
                     int64_t rows) {
  if (!bounds || !columns) return {};
  STD_TORCH_CHECK(bounds->dim() == 2 && bounds->size(0) == 2 && bounds->size(1) == rows &&
                      bounds->scalar_type() == ScalarType::Long && (rows <= 1 || bounds->stride(1) == 1),
                  op, ": bounds must be [2, ", rows, "] int64, got ", shape_of(*bounds));
  STD_TORCH_CHECK(
      columns->dim() == 1 && columns->scalar_type() == ScalarType::Long && columns->is_contiguous(), op,
      ": columns must be contiguous int64, got ", shape_of(*columns));
  const int64_t* begins = static_cast<const int64_t*>(bounds->const_data_ptr());
  const int64_t* ends = begins + bounds->stride(0);
  for (int64_t row = 0; row < rows; ++row)
    STD_TORCH_CHECK(begins[row] >= 0 && ends[row] <= columns->size(0), op, ": row ", row,
                    " must have bounds within ", columns->size(0), " columns, got ", begins[row], " and ",
                    ends[row]);
  return {begins, ends, static_cast<const int64_t*>(columns->const_data_ptr()), first};
}

ContrastiveTile tile_of(const char* op, const Tensor& scores, const Tensor& scales, double margin,
                        const MaybeTensor& positive_bounds, const MaybeTensor& positives,
                        const MaybeTensor& excluded_bounds, const MaybeTensor& excluded, int64_t first_column,
                        const MaybeTensor& judge, const MaybeTensor& limits) {
  check_scores(op, "scores", scores, scores);
  const int64_t rows = scores.size(0);
  const double* scale = doubles_of(op, "scales", scales, 0, 2);
  if (judge) check_scores(op, "judge", *judge, scores);
  return {scores.mutable_data_ptr(),
          score_type(op, scores),
          rows,
          scores.size(1),
          scores.stride(0),
          scale[0],
          scale[1],
          margin,
          lists_of(op, positive_bounds, positives, first_column, rows),
          lists_of(op, excluded_bounds, excluded, first_column, rows),
          judge ? judge->const_data_ptr() : nullptr,
          judge ? judge->stride(0) : 0,
          doubles_of(op, "limits", limits, 0, rows),
          nullptr};
}

void contrastive_stats_cpu(const Tensor& scores, const Tensor& scales, double margin,
                           const MaybeTensor& positive_bounds, const MaybeTensor& positives,
                           const MaybeTensor& excluded_bounds, const MaybeTensor& excluded,
                           int64_t first_column, const MaybeTensor& judge, const MaybeTensor& limits,
                           const Tensor& stats, const MaybeTensor& hardest,
                           const MaybeTensor& hardest_columns) {
  constexpr const char* op = "contrastive_stats_";
  const ContrastiveTile tile = tile_of(op, scores, scales, margin, positive_bounds, positives,
                                       excluded_bounds, excluded, first_column, judge, limits);
  ContrastiveStats found{doubles_of(op, "stats", stats, kStats, tile.rows), stats.stride(0)};
  if (hardest && hardest_columns) {
    for (const Tensor* tensor : {&*hardest, &*hardest_columns})
      STD_TORCH_CHECK(
          tensor->dim() == 2 && tensor->size(0) == tile.rows && tensor->is_contiguous() &&
              tensor->size(1) == hardest->size(1) &&
              tensor->scalar_type() == (tensor == &*hardest ? ScalarType::Float : ScalarType::Long),
          op, ": hardest and hardest_columns must be contiguous [", tile.rows, ", K] float32 and int64, got ",
          shape_of(*tensor));
    found.k = hardest->size(1);
    found.hardest = static_cast<float*>(hardest->mutable_data_ptr());
    found.hardest_columns = static_cast<int64_t*>(hardest_columns->mutable_data_ptr());
  }
  cpu::contrastive_stats(tile, found, TorchThreads(scores.numel()));
}

void contrastive_gradient_cpu(const Tensor& scores, const Tensor& scales, double margin,
                              const MaybeTensor& positive_bounds, const MaybeTensor& positives,
                              const MaybeTensor& excluded_bounds, const MaybeTensor& excluded,
                              int64_t first_column, const MaybeTensor& judge, const MaybeTensor& limits,
                              const Tensor& row_coefficients, const MaybeTensor& column_coefficients,
                              const MaybeTensor& column_limits, const MaybeTensor& score_products) {
  constexpr const char* op = "contrastive_gradient_";
  ContrastiveTile tile = tile_of(op, scores, scales, margin, positive_bounds, positives, excluded_bounds,
                                 excluded, first_column, judge, limits);
  tile.column_limits = doubles_of(op, "column_limits", column_limits, 0, tile.columns);
  cpu::contrastive_gradient(
      tile,
      {doubles_of(op, "row_coefficients", row_coefficients, kCoefficients, tile.rows),
       row_coefficients.stride(0),
       doubles_of(op, "column_coefficients", column_coefficients, kCoefficients, tile.columns),
       column_coefficients ? column_coefficients->stride(0) : 0,
       doubles_of(op, "score_products", score_products, 0, tile.rows)},
      TorchThreads(scores.numel()));
}

void sigmoid_tile_cpu(const Tensor& scores, const Tensor& scales, const Tensor& bias,
                      const MaybeTensor& positive_bounds, const MaybeTensor& positives, const Tensor& weights,
                      const Tensor& losses, const Tensor& sums, const Tensor& score_products, bool gradient) {
  constexpr const char* op = "sigmoid_tile_";
  const ContrastiveTile tile = tile_of(op, scores, scales, 0, positive_bounds, positives, std::nullopt,
                                       std::nullopt, 0, std::nullopt, std::nullopt);
  cpu::sigmoid_tile(
      tile,
      {*doubles_of(op, "bias", bias, 0, 1), doubles_of(op, "weights", weights, 0, tile.rows),
       doubles_of(op, "losses", losses, 0, tile.rows), doubles_of(op, "sums", sums, 0, tile.rows),
       doubles_of(op, "score_products", score_products, 0, tile.rows), gradient},
      TorchThreads(scores.numel()));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("contrastive_stats_", TORCH_BOX(&contrastive_stats_cpu));
  m.impl("contrastive_gradient_", TORCH_BOX(&contrastive_gradient_cpu));
  m.impl("sigmoid_tile_", TORCH_BOX(&sigmoid_tile_cpu));
}

}  // namespace fastret::ops
