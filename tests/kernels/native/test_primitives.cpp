// What every score is made of, on each instruction set: equal to plain arithmetic, bit for bit.
#include <algorithm>

#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/isa.h"
#include "vectors.h"

namespace fastret::test {
namespace {

constexpr int64_t kDims[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 47, 48, 49, 100, 513};

bool same_bits(double a, double b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}

void widens_every_value_of_every_length(const Primitives& isa) {
  for (const DType dtype : {DType::bf16, DType::f16})
    for (int64_t n = 0; n < 40; ++n)
      for (int64_t first = 0; first + n <= 0x10000; first += std::max<int64_t>(n * 37, 4096 - 7 * n)) {
        ExactArray<uint16_t> source{size_t(n)};
        ExactArray<float> target{size_t(n)};
        for (int64_t i = 0; i < n; ++i) source[size_t(i)] = uint16_t(first + i);
        isa.widen(source.data(), dtype, n, target.data());
        for (int64_t i = 0; i < n; ++i) {
          const uint16_t bits = uint16_t(first + i);
          const float want = dtype == DType::bf16 ? widen_bf16(bits) : widen_f16(bits);
          expect(test::same_bits(target[size_t(i)], want), isa.name, " widens ", bits, " of ", n, " to ",
                 target[size_t(i)], ", wanted ", want);
        }
      }
  ExactArray<float> source(19), target(19);
  for (size_t i = 0; i < 19; ++i) source[i] = float(i) - 0.5f;
  isa.widen(source.data(), DType::f32, 19, target.data());
  expect(std::equal(source.data(), source.data() + 19, target.data()), isa.name, " copies float32");
}

void widens_all_16_bit_patterns(const Primitives& isa) {
  ExactArray<uint16_t> source(0x10000);
  ExactArray<float> target(0x10000);
  for (size_t i = 0; i < source.size(); ++i) source[i] = uint16_t(i);
  for (const DType dtype : {DType::bf16, DType::f16}) {
    isa.widen(source.data(), dtype, int64_t(source.size()), target.data());
    for (size_t i = 0; i < source.size(); ++i) {
      const float want = dtype == DType::bf16 ? widen_bf16(uint16_t(i)) : widen_f16(uint16_t(i));
      expect(test::same_bits(target[i], want), isa.name, " widens ", i);
    }
  }
}

// The rows, each in an allocation of its own size.
std::vector<ExactArray<float>> exact_rows(int count, int64_t dim, Family family, Random& random) {
  std::vector<ExactArray<float>> rows;
  for (int r = 0; r < count; ++r) {
    Vectors one(1, dim, DType::f32);
    fill(one, family, random);
    rows.emplace_back(size_t(dim));
    std::copy_n(one.row(0), dim, rows.back().data());
  }
  return rows;
}

void sums_in_the_canonical_order(const Primitives& isa, Random& random) {
  for (const int64_t dim : kDims)
    for (const Family family : kFamilies) {
      const auto rows = exact_rows(1 + kRowsPerCall, dim, family, random);
      const float* query = rows[0].data();
      const float* keys[kRowsPerCall];
      for (int r = 0; r < kRowsPerCall; ++r) keys[r] = rows[size_t(r) + 1].data();
      double sums[kRowsPerCall];
      for (const Term term : {Term::product, Term::squared_difference}) {
        // Fetching the next keys ahead changes nothing.
        isa.canonical_rows(term, query, keys, term == Term::product ? keys : nullptr, dim, sums);
        for (int r = 0; r < kRowsPerCall; ++r)
          expect(same_bits(sums[r], canonical_sum(term, query, keys[r], dim)), isa.name, " term ", int(term),
                 ", D ", dim, ", ", kFamilyNames[int(family)], ", row ", r, ": ", sums[r]);
      }
      isa.canonical_squares(keys, dim % 2 ? keys : nullptr, dim, sums);
      for (int r = 0; r < kRowsPerCall; ++r)
        expect(same_bits(sums[r], canonical_sum(Term::product, keys[r], keys[r], dim)), isa.name,
               " squares, D ", dim, ", ", kFamilyNames[int(family)], ", row ", r, ": ", sums[r]);
    }
}

// Rounding to 16 bits: of the two neighbours the nearer, of two equally near the even one.
void rounds_halves_to_nearest_even() {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float low = widen_f16(uint16_t(bits));
    const float high = bits == 0x7bff ? 65536.0f : widen_f16(uint16_t(bits + 1));
    const float halfway = (low + high) / 2;
    expect(round_to_f16(low) == bits, "float16 ", low);
    expect(round_to_f16(std::nextafter(halfway, 0.0f)) == bits, "float16 below halfway ", halfway);
    expect(round_to_f16(std::nextafter(halfway, kInf)) == bits + 1, "float16 above halfway ", halfway);
    expect(round_to_f16(halfway) == bits + (bits & 1), "float16 halfway ", halfway);
    expect(round_to_f16(-halfway) == (0x8000 | (bits + (bits & 1))), "float16 halfway ", -halfway);
  }
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {
    const float halfway = float_from_bits(bits << 16 | 0x8000);
    expect(round_to_bf16(widen_bf16(uint16_t(bits))) == bits, "bfloat16 ", bits);
    expect(round_to_bf16(float_from_bits(bits << 16 | 0x7fff)) == bits, "bfloat16 below halfway ", halfway);
    expect(round_to_bf16(float_from_bits(bits << 16 | 0x8001)) == bits + 1, "bfloat16 above halfway ",
           halfway);
    expect(round_to_bf16(halfway) == bits + (bits & 1), "bfloat16 halfway ", halfway);
  }
  expect(std::isnan(widen_f16(round_to_f16(kNan))) && std::isnan(widen_bf16(round_to_bf16(kNan))),
         "NaN stays NaN");
  expect(widen_f16(round_to_f16(1e30f)) == kInf && widen_bf16(round_to_bf16(-kInf)) == -kInf, "infinity");
}

}  // namespace

void test_primitives() {
  rounds_halves_to_nearest_even();
  for (const char* const* name = available_isas(); *name; ++name) {
    Random random(7);
    use_isa(*name);
    const Primitives& isa = primitives();
    widens_every_value_of_every_length(isa);
    widens_all_16_bit_patterns(isa);
    sums_in_the_canonical_order(isa, random);
  }
}

}  // namespace fastret::test
