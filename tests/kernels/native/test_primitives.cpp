// Each instruction set's primitives against plain arithmetic: equal bits where the contract says so, else
// within the rounding that the error bound allows.
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
        isa.canonical_rows(term, query, keys, dim, sums);
        for (int r = 0; r < kRowsPerCall; ++r)
          expect(same_bits(sums[r], canonical_sum(term, query, keys[r], dim)), isa.name, " term ", int(term),
                 ", D ", dim, ", ", kFamilyNames[int(family)], ", row ", r, ": ", sums[r]);
      }
      isa.canonical_squares(keys, dim, sums);
      for (int r = 0; r < kRowsPerCall; ++r)
        expect(same_bits(sums[r], canonical_sum(Term::product, keys[r], keys[r], dim)), isa.name,
               " squares, D ", dim, ", ", kFamilyNames[int(family)], ", row ", r, ": ", sums[r]);
    }
}

void centres_within_one_rounding(const Primitives& isa, Random& random) {
  for (const int64_t dim : kDims)
    for (const double scale : {1.0, 0.3}) {
      const auto rows = exact_rows(2, dim, Family::normal, random);
      ExactArray<float> target{size_t(dim)};
      const double square = isa.centre_row(rows[0].data(), scale, rows[1].data(), dim, target.data());
      double want_square = 0;
      for (size_t d = 0; d < size_t(dim); ++d) {
        const long double want = static_cast<long double>(rows[0][d]) * scale - rows[1][d];
        expect(std::abs(target[d] - want) <= 0x1.001p-24L * std::abs(want) + 0x1p-50L, isa.name,
               " centres, D ", dim, ", d ", d, ": ", target[d]);
        want_square += double(target[d]) * target[d];
      }
      expect(std::abs(square - want_square) <= 0x1p-40 * want_square, isa.name, " centred square, D ", dim);
    }
}

void packs_panels(const Primitives& isa, Random& random) {
  for (const int64_t dim : kDims) {
    const auto rows = exact_rows(isa.tile_keys, dim, Family::normal, random);
    std::vector<const float*> pointers;
    for (const auto& row : rows) pointers.push_back(row.data());
    ExactArray<float> panel{size_t(dim * isa.tile_keys)};
    isa.pack_panel(pointers.data(), dim, panel.data());
    for (int64_t d = 0; d < dim; ++d)
      for (int i = 0; i < isa.tile_keys; ++i)
        expect(panel[size_t(d * isa.tile_keys + i)] == rows[size_t(i)][size_t(d)], isa.name, " panel, D ",
               dim, ", d ", d, ", key ", i);
  }
}

// Two roundings per step, as isa.h allows: the error of a dot product of D terms is at most gamma_2D.
void multiplies_tiles(const Primitives& isa, Random& random) {
  for (const int64_t dim : kDims)
    for (int num_queries = 1; num_queries <= isa.tile_queries; ++num_queries) {
      const auto queries = exact_rows(num_queries, dim, Family::normal, random);
      const auto keys = exact_rows(isa.tile_keys, dim, Family::normal, random);
      ExactArray<float> packed{size_t(dim * num_queries)}, panel{size_t(dim * isa.tile_keys)};
      for (int64_t d = 0; d < dim; ++d) {
        for (int r = 0; r < num_queries; ++r)
          packed[size_t(d * num_queries + r)] = queries[size_t(r)][size_t(d)];
        for (int i = 0; i < isa.tile_keys; ++i)
          panel[size_t(d * isa.tile_keys + i)] = keys[size_t(i)][size_t(d)];
      }
      ExactArray<float> dots{size_t(num_queries * isa.tile_keys)};
      isa.dot_tile(packed.data(), num_queries, panel.data(), dim, dots.data());
      for (int r = 0; r < num_queries; ++r)
        for (int i = 0; i < isa.tile_keys; ++i) {
          double dot = 0, magnitude = 0;
          for (size_t d = 0; d < size_t(dim); ++d) {
            const double term = double(queries[size_t(r)][d]) * keys[size_t(i)][d];
            dot += term;
            magnitude += std::abs(term);
          }
          const float got = dots[size_t(r * isa.tile_keys + i)];
          expect(std::abs(got - dot) <= double(2 * dim) * 0x1p-24 * magnitude, isa.name, " dot, D ", dim,
                 ", ", num_queries, " queries, query ", r, ", key ", i, ": ", got, ", wanted ", dot);
        }
    }
}

void filters_against_the_threshold(const Primitives& isa, Random& random) {
  const size_t keys = size_t(isa.tile_keys);
  for (int round = 0; round < 500; ++round) {
    ExactArray<float> dots(keys), slope(keys), offset(keys), uppers(keys);
    for (size_t i = 0; i < keys; ++i) {
      dots[i] = float(int(random() % 7) - 3);
      slope[i] = round % 2 ? 0.0f : uniform(random, 0, 1);
      offset[i] = random() % 9 == 0 ? -kInf : float(random() % 3);
    }
    const float norm = uniform(random, 0, 2);
    const float threshold = round % 5 == 0 ? -kInf : round % 7 == 0 ? kInf : float(int(random() % 7) - 3);
    const uint32_t mask =
        isa.filter(dots.data(), norm, slope.data(), offset.data(), threshold, uppers.data());
    for (size_t i = 0; i < keys; ++i) {
      const double want = dots[i] + (double(norm) * slope[i] + offset[i]);
      expect(want == uppers[i] || std::abs(uppers[i] - want) <= 3 * 0x1p-24 * (5 + std::abs(want)), isa.name,
             " upper ", uppers[i], ", wanted ", want);
      expect((mask >> i & 1) == uint32_t(uppers[i] >= threshold), isa.name, " mask of key ", i, ": upper ",
             uppers[i], ", threshold ", threshold);
    }
    expect(keys == 32 || mask >> keys == 0, isa.name, " mask beyond the keys");
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
    centres_within_one_rounding(isa, random);
    packs_panels(isa, random);
    multiplies_tiles(isa, random);
    filters_against_the_threshold(isa, random);
  }
}

}  // namespace fastret::test
