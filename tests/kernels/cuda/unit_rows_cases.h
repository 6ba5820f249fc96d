// Cases of unit_rows and its gradient.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "expectations.h"
#include "kernels/cuda/kernels.h"
#include "kernels/unit_scale.h"
#include "matrices.h"

namespace fastret {

struct UnitRows {
  int64_t rows, dim;
  Fill fill;
  DType dtype = DType::f32, other = DType::f32;  // of the rows; of the units, and of their gradients
  int64_t padding = 0;
};

// Norms whose squares, or inverses, no float32 holds.
inline void extreme_norms(Matrix& m, std::mt19937& random) {
  gaussian(m, random);
  const float norms[] = {1e-42f, 1e-30f, 1.0f, 1e30f, 0.0f};
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t d = 0; d < m.dim; ++d) m.values[size_t(r * m.dim + d)] *= norms[r % 5];
}

// What a kernel writes, with a guard behind it.
struct Output {
  std::vector<unsigned char> bytes;
  DType dtype;

  Output(int64_t elements, DType dtype)
      : bytes(size_t(elements * (dtype == DType::f32 ? 4 : 2) + 64), 0xcd), dtype(dtype) {}

  float operator[](int64_t i) const {
    float value = 0;
    uint16_t half = 0;
    std::memcpy(&value, bytes.data() + 4 * i * (dtype == DType::f32), 4);
    std::memcpy(&half, bytes.data() + 2 * i * (dtype != DType::f32), 2);
    return dtype == DType::f32 ? value : dtype == DType::bf16 ? widen_bf16(half) : widen_f16(half);
  }

  bool guarded() const {
    return std::all_of(bytes.end() - 64, bytes.end(), [](unsigned char byte) { return byte == 0xcd; });
  }
};

inline float rounded(float value, DType dtype) {
  return dtype == DType::f32    ? value
         : dtype == DType::bf16 ? widen_bf16(round_to_bf16(value))
                                : widen_f16(round_to_f16(value));
}

// `got` is one of the values within `error` of `want`, rounded to the dtype.
inline void expect_between(float got, double want, double error, DType dtype, const char* name, int64_t row,
                           int64_t element) {
  const float low = rounded(float(want - error), dtype), high = rounded(float(want + error), dtype);
  expect((low <= got && got <= high) || (got != got && want != want),
         std::string(name) + ": row " + std::to_string(row) + " element " + std::to_string(element) + ": " +
             std::to_string(got) + ", expected " + std::to_string(want));
}

inline void check_unit_rows(const char* name, const UnitRows& s) {
  std::mt19937 random(17);
  Matrix rows(s.rows, s.dim, s.dtype, s.padding);
  s.fill(rows, random);
  rows.store();
  Output units(s.rows * s.dim, s.other);
  std::vector<double> inverse_norms(size_t(s.rows), -7);
  expect(cuda::unit_rows({rows.view(), units.bytes.data(), s.other, inverse_norms.data()}, nullptr) ==
             cudaSuccess,
         std::string(name) + ": launches");
  expect(units.guarded(), std::string(name) + ": writes the units alone");
  for (int64_t r = 0; r < s.rows; ++r) {
    const double inverse =
        inverse_norm(canonical_sum(Metric::inner_product, rows.row(r), rows.row(r), s.dim));
    const double got = inverse_norms[size_t(r)];
    // The kernel sums in another order than the definition.
    expect(std::abs(got - inverse) <= 1e-14 * inverse || (got != got && inverse != inverse),
           std::string(name) + ": inverse norm of row " + std::to_string(r));
    for (int64_t d = 0; d < s.dim; ++d) {
      // Two roundings in float32, and those of results below its normal numbers.
      const double want = rows.row(r)[d] * inverse, error = std::abs(want) * 0x1.01p-23 + 0x1p-149;
      expect_between(units[r * s.dim + d], want, error, s.other, name, r, d);
    }
  }
}

inline void check_unit_rows_backward(const char* name, const UnitRows& s) {
  std::mt19937 random(19);
  Matrix rows(s.rows, s.dim, s.dtype, s.padding), grads(s.rows, s.dim, s.other, s.padding);
  s.fill(rows, random);
  gaussian(grads, random);
  rows.store();
  grads.store();
  std::vector<double> inverse_norms;
  for (int64_t r = 0; r < s.rows; ++r)
    inverse_norms.push_back(
        inverse_norm(canonical_sum(Metric::inner_product, rows.row(r), rows.row(r), s.dim)));
  Output grad_rows(s.rows * s.dim, s.dtype);
  const cudaError_t error = cuda::unit_rows_backward(
      {grads.view(), rows.view(), inverse_norms.data(), grad_rows.bytes.data()}, nullptr);
  expect(error == cudaSuccess, std::string(name) + ": launches");
  expect(grad_rows.guarded(), std::string(name) + ": writes the gradients alone");
  for (int64_t r = 0; r < s.rows; ++r) {
    const double inverse = inverse_norms[size_t(r)];
    const double dot = canonical_sum(Metric::inner_product, grads.row(r), rows.row(r), s.dim);
    for (int64_t d = 0; d < s.dim; ++d) {
      const double g = grads.row(r)[d], u = rows.row(r)[d] * inverse;
      const double want = (g - u * (dot * inverse)) * inverse;
      expect_between(grad_rows[r * s.dim + d], want, 1e-12 * inverse, s.dtype, name, r, d);
    }
  }
}

inline void check_all_unit_rows(void (*check)(const char*, const UnitRows&)) {
  check("one piece per thread", {9, 64, gaussian});
  check("whole pieces between others", {3, 40, gaussian, DType::bf16, DType::f16, 8});
  check("a row of halves that begins between pieces", {5, 40, gaussian, DType::f16, DType::bf16, 1});
  check("no whole pieces", {9, 37, gaussian, DType::f32, DType::bf16, 2});
  check("extreme norms", {10, 21, extreme_norms});
  check("the longest row of a warp", {2, 1024, gaussian});
  check("a row of a block", {2, 1040, gaussian, DType::bf16, DType::f32});
  check("spans that are read again", {2, 8192 * 2 + 24, gaussian, DType::f32, DType::f16});
  check("spans without whole pieces", {1, 8193, gaussian, DType::bf16, DType::bf16, 3});
  check("no dimensions", {3, 0, gaussian});
  check("no rows", {0, 5, gaussian});
}

inline void unit_rows_forward() {
  check_all_unit_rows(check_unit_rows);
  check_unit_rows("wild", {12, 24, wild});
}

inline void unit_rows_backward() {
  check_all_unit_rows(check_unit_rows_backward);
}

}  // namespace fastret
