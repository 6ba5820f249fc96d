// Rows divided by their norms, and the gradient of that.
#include <algorithm>
#include <vector>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/rows.h"
#include "kernels/half.h"
#include "kernels/unit_scale.h"

namespace fastret::cpu {
namespace {

// Contiguous rows of one of the storage types: each is written as float32, in place where it is stored so.
class RowWriter {
 public:
  RowWriter(void* data, int64_t dim, DType dtype)
      : data_(data), dim_(dim), dtype_(dtype), wide_(size_t(dtype == DType::f32 ? 0 : dim)) {}

  float* begin(int64_t row) {
    return dtype_ == DType::f32 ? static_cast<float*>(data_) + row * dim_ : wide_.data();
  }

  void end(int64_t row) {
    if (dtype_ == DType::f32) return;
    uint16_t* target = static_cast<uint16_t*>(data_) + row * dim_;
    if (dtype_ == DType::bf16)
      for (int64_t d = 0; d < dim_; ++d) target[d] = round_to_bf16(wide_[size_t(d)]);
    else
      for (int64_t d = 0; d < dim_; ++d) target[d] = round_to_f16(wide_[size_t(d)]);
  }

 private:
  void* data_;
  int64_t dim_;
  DType dtype_;
  std::vector<float> wide_;
};

}  // namespace

void unit_rows(const UnitRowsParams& p, const Parallel& parallel) {
  if (p.rows.rows == 0) return;
  const int64_t dim = p.rows.dim;
  parallel(p.rows.rows, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    RowReader reader(p.rows, 2 * kRowsPerCall);
    RowWriter writer(p.units, dim, p.out_dtype);
    // The rows of this call, and those of the next, which memory brings meanwhile.
    const float* both[2][kRowsPerCall];
    const auto read = [&](int64_t first, int half) {
      for (int i = 0; i < kRowsPerCall; ++i)
        both[half][i] = reader.read(std::min(first + i, end - 1), half * kRowsPerCall + i);
    };
    read(begin, 0);
    int half = 0;
    for (int64_t first = begin; first < end; first += kRowsPerCall, half = 1 - half) {
      read(first + kRowsPerCall, 1 - half);
      const float* const* rows = both[half];
      double squares[kRowsPerCall];
      primitives().canonical_squares(rows, both[1 - half], dim, squares);
      for (int i = 0; i < kRowsPerCall && first + i < end; ++i) {
        p.inverse_norms[first + i] = inverse_norm(squares[i]);
        const UnitScale scale = unit_scale(p.inverse_norms[first + i]);
        float* units = writer.begin(first + i);
        for (int64_t d = 0; d < dim; ++d) units[d] = scale(rows[i][d]);
        writer.end(first + i);
      }
    }
  });
}

void unit_rows_backward(const UnitRowsBackwardParams& p, const Parallel& parallel) {
  const int64_t dim = p.rows.dim;
  const std::vector<float> zeros(size_t(dim), 0.0f);
  parallel(p.rows.rows, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    const Primitives& isa = primitives();
    RowReader grad_reader(p.grad_units, 1), row_reader(p.rows, 1);
    RowWriter writer(p.grad_rows, dim, p.rows.dtype);
    std::vector<float> along(size_t(dim), 0.0f);
    for (int64_t r = begin; r < end; ++r) {
      const float *grad = grad_reader.read(r, 0), *row = row_reader.read(r, 0);
      const double inverse = p.inverse_norms[r];
      const double dot = isa.centre_row(grad, 1, zeros.data(), row, dim, along.data()).component;
      // The part along the row, (u . g) u / |row|, which a longer or shorter row would not change.
      isa.centre_row(row, dot * inverse * inverse * inverse, zeros.data(), zeros.data(), dim, along.data());
      isa.centre_row(grad, inverse, along.data(), zeros.data(), dim, writer.begin(r));
      writer.end(r);
    }
  });
}

}  // namespace fastret::cpu
