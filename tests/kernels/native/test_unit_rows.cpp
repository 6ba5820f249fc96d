// unit_rows and its gradient against the formulas in float64, for every instruction set.
#include <algorithm>
#include <cmath>

#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/cpu/kernels.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

struct Case {
  int64_t rows, dim;
  Family family;
  DType dtype, other;  // of the rows; of the units, and of their gradients
};

// Elements that a kernel writes, in an allocation without a spare byte.
class Output {
 public:
  Output(int64_t elements, DType dtype)
      : dtype_(dtype),
        wide_(size_t(dtype == DType::f32 ? elements : 0)),
        half_(size_t(dtype == DType::f32 ? 0 : elements)) {}

  void* data() { return dtype_ == DType::f32 ? static_cast<void*>(wide_.data()) : half_.data(); }
  float operator[](int64_t i) const {
    if (dtype_ == DType::f32) return wide_[size_t(i)];
    return dtype_ == DType::bf16 ? widen_bf16(half_[size_t(i)]) : widen_f16(half_[size_t(i)]);
  }

 private:
  DType dtype_;
  ExactArray<float> wide_;
  ExactArray<uint16_t> half_;
};

float rounded(float value, DType dtype) {
  if (dtype == DType::f32) return value;
  return dtype == DType::bf16 ? widen_bf16(round_to_bf16(value)) : widen_f16(round_to_f16(value));
}

void expect_between(float got, double want, double error, DType dtype, const char* what, const char* isa,
                    const Case& c) {
  const float low = rounded(float(want - error), dtype), high = rounded(float(want + error), dtype);
  expect((low <= got && got <= high) || (std::isnan(got) && std::isnan(want)), what, ", ", isa, ", ",
         kFamilyNames[int(c.family)], ", R ", c.rows, ", D ", c.dim, ", ", kDTypeNames[int(c.dtype)], ", ",
         kDTypeNames[int(c.other)], ": ", got, ", wanted ", want);
}

void check(const Case& c, uint64_t seed) {
  Random random(seed);
  Vectors rows(c.rows, c.dim, c.dtype, 3), grads(c.rows, c.dim, c.other, 1);
  fill(rows, c.family, random);
  fill(grads, Family::normal, random);
  for (const char* const* isa = available_isas(); *isa; ++isa) {
    use_isa(*isa);
    Output units(c.rows * c.dim, c.other), grad_rows(c.rows * c.dim, c.dtype);
    ExactArray<double> inverse_norms(size_t(c.rows));
    cpu::unit_rows({rows.view(), units.data(), c.other, inverse_norms.data()}, threads<2>());
    cpu::unit_rows_backward({grads.view(), rows.view(), inverse_norms.data(), grad_rows.data()},
                            threads<2>());
    for (int64_t r = 0; r < c.rows; ++r) {
      const double square = canonical_sum(Term::product, rows.row(r), rows.row(r), c.dim);
      const double inverse = square == 0 ? 0 : 1 / std::sqrt(square);
      const double dot = canonical_sum(Term::product, grads.row(r), rows.row(r), c.dim) * inverse;
      for (int64_t d = 0; d < c.dim; ++d) {
        const double unit = rows.at(r, d) * inverse, along = unit * dot * inverse;
        // Of the units two roundings in float32; of the gradients that of the part along the row.
        expect_between(units[r * c.dim + d], unit, std::abs(unit) * 0x1.01p-23 + 0x1p-149, c.other, "units",
                       *isa, c);
        expect_between(grad_rows[r * c.dim + d], grads.at(r, d) * inverse - along,
                       std::abs(along) * 0x1.01p-24 + 1e-12 * inverse, c.dtype, "gradients", *isa, c);
      }
    }
  }
}

}  // namespace

void test_unit_rows() {
  uint64_t seed = 0;
  const int64_t shapes[][2] = {{0, 5}, {3, 0}, {1, 1}, {7, 33}, {2, 513}};
  for (const auto& shape : shapes)
    for (const Family family : kFamilies)
      for (const DType dtype : kDTypes)
        for (const DType other : kDTypes) check({shape[0], shape[1], family, dtype, other}, ++seed);
}

}  // namespace fastret::test
