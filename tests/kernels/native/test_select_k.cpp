// select_k against a stable sort, for every instruction set.
#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/cpu/kernels.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

void check(int64_t rows, int64_t columns, int64_t k, bool largest, Family family, DType dtype,
           uint64_t seed) {
  Random random(seed);
  Vectors values(rows, columns, dtype, seed % 3);
  fill(values, family, random);
  if (family == Family::specials)  // a row of infinitely bad values but for a few
    for (int64_t c = 0; c < columns; ++c)
      if (c % 50 != 49) values.set(rows - 1, c, largest ? -kInf : kInf);
  for (const char* const* isa = available_isas(); *isa; ++isa) {
    use_isa(*isa);
    const size_t places = size_t(rows * k);
    ExactArray<float> wide(dtype == DType::f32 ? places : 0);
    ExactArray<uint16_t> half(dtype == DType::f32 ? 0 : places);
    ExactArray<int64_t> found{places};
    void* selected = dtype == DType::f32 ? static_cast<void*>(wide.data()) : half.data();
    cpu::select_k({values.view(), k, largest, selected, found.data()}, threads<2>());
    for (int64_t r = 0; r < rows; ++r) {
      const std::vector<float> row(values.row(r), values.row(r) + columns);
      const std::vector<int64_t> want = select_k(row, k, largest);
      for (int64_t j = 0; j < k; ++j) {
        const size_t at = size_t(r * k + j);
        const float value = dtype == DType::f32    ? wide[at]
                            : dtype == DType::bf16 ? widen_bf16(half[at])
                                                   : widen_f16(half[at]);
        const int64_t column = want[size_t(j)];
        const float want_value = column >= 0 ? row[size_t(column)] : largest ? -kInf : kInf;
        expect(found[at] == column && same_bits(value, want_value), "select_k, ", *isa, ", ",
               kDTypeNames[int(dtype)], ", ", kFamilyNames[int(family)], ", C ", columns, ", k ", k,
               largest ? ", largest" : ", smallest", ", row ", r, ", place ", j, ": column ", found[at],
               " value ", value, ", wanted ", column, " and ", want_value);
      }
    }
  }
}

}  // namespace

void test_select_k() {
  uint64_t seed = 0;
  for (const int64_t columns : {0, 1, 7, 16, 63, 64, 65, 129, 700})
    for (const int64_t k : {int64_t(0), int64_t(1), int64_t(5), columns / 8, columns, columns + 2})
      for (const DType dtype : kDTypes)
        for (const Family family : {Family::normal, Family::ties, Family::specials})
          for (const bool largest : {true, false}) check(3, columns, k, largest, family, dtype, ++seed);
}

}  // namespace fastret::test
