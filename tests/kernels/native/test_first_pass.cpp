// The primitives of the first pass on each instruction set, against plain arithmetic: integers exactly,
// floats within the rounding that the error bound allows.
#include <algorithm>

#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/isa.h"
#include "kernels/rotation.h"
#include "sets.h"
#include "vectors.h"

namespace fastret::test {
namespace {

ExactArray<float> random_row(int64_t size, Random& random) {
  ExactArray<float> row{size_t(size)};
  for (size_t d = 0; d < row.size(); ++d) row[d] = bell(random);
  return row;
}

void centres_within_one_rounding() {
  Random random(1);
  for (const int64_t dim : dims(3)) {
    const auto row = random_row(dim, random), centre = random_row(dim, random),
               direction = random_row(dim, random);
    for (const double scale : {1.0, 0.3})
      for_each_set([&](const Primitives& isa) {
        ExactArray<float> target{size_t(dim)};
        const Centred got =
            isa.centre_row(row.data(), scale, centre.data(), direction.data(), dim, target.data());
        double square = 0, component = 0, magnitude = 0;
        for (size_t d = 0; d < size_t(dim); ++d) {
          const long double want = static_cast<long double>(row[d]) * scale - centre[d];
          expect(std::abs(target[d] - want) <= 1.001L * kU * std::abs(want) + 0x1p-50L, isa.name,
                 " centres, D ", dim, ", d ", d, ": ", target[d]);
          square += double(target[d]) * target[d];
          component += double(target[d]) * direction[d];
          magnitude += std::abs(double(target[d]) * direction[d]);
        }
        expect(std::abs(got.square - square) <= 0x1p-40 * square, isa.name, " centred square, D ", dim);
        expect(std::abs(got.component - component) <= 0x1p-40 * magnitude, isa.name, " component, D ", dim);
      });
  }
}

// Stored panels rest on these signs, 64 in each word, the first in the lowest bit; 1 is negative.
void the_signs_of_the_rotation_stay_what_they_are() {
  constexpr uint64_t kNegative[] = {0xf9b7201394f7f352u, 0x02e426b132ea9d01u, 0x7345c799ed63d7c8u,
                                    0x3ad49898892b6b2eu};
  constexpr RotationSigns signs;
  for (int64_t d = 0; d < kLargestBlock; ++d)
    expect(signs.signs[d] == (kNegative[d / 64] >> d % 64 & 1 ? -1.0f : 1.0f), "sign ", d);
}

// As rotation.h defines it, in float64: element i of a block is the sum of (-1)^(bits that i and j share)
// sign_j x_j / sqrt(B).
std::vector<double> rotated(const float* row, int64_t dim) {
  constexpr RotationSigns signs;
  std::vector<double> result(row, row + dim);
  const int64_t size = dim >= 256 ? 256 : dim >= 64 ? 64 : dim >= 16 ? 16 : dim >= 4 ? 4 : 0;
  if (size == 0) return result;
  std::vector<int64_t> offsets;
  for (int64_t offset = 0; offset + size <= dim; offset += size) offsets.push_back(offset);
  if (dim % size) offsets.push_back(dim - size);
  for (const int64_t offset : offsets) {
    const std::vector<double> block(result.begin() + offset, result.begin() + offset + size);
    for (int64_t i = 0; i < size; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < size; ++j) {
        const double term = signs.signs[j] * block[size_t(j)];
        sum += __builtin_parityll(uint64_t(i & j)) ? -term : term;
      }
      result[size_t(offset + i)] = sum / std::sqrt(double(size));
    }
  }
  return result;
}

void rotates_within_sixteen_roundings() {
  Random random(2);
  for (const int64_t dim : dims(5)) {
    ExactArray<float> row = random_row(dim, random);
    if (dim % 2) row[size_t(dim / 2)] = 1000;  // what the rotation is for
    const std::vector<double> want = rotated(row.data(), dim);
    double norm = 0;
    for (size_t d = 0; d < row.size(); ++d) norm += double(row[d]) * row[d];
    norm = std::sqrt(norm);
    for_each_set([&](const Primitives& isa) {
      ExactArray<float> got{row.size()};
      std::copy_n(row.data(), row.size(), got.data());
      isa.rotate(got.data(), dim);
      double error = 0, got_norm = 0;
      for (size_t d = 0; d < row.size(); ++d) {
        error += (got[d] - want[d]) * (got[d] - want[d]);
        got_norm += double(got[d]) * got[d];
      }
      const double allowed = kRotationRoundings * kU * (1 + 0x1p-18) * norm;
      expect(std::sqrt(error) <= allowed, isa.name, " rotates, D ", dim, ": error ", std::sqrt(error) / norm);
      expect(std::abs(std::sqrt(got_norm) - norm) <= allowed, isa.name, " keeps the norm, D ", dim);
    });
  }
}

ExactArray<float> padded_row(int64_t dim, float largest, Random& random) {
  ExactArray<float> row{size_t(padded_dim(dim))};
  for (size_t d = 0; d < row.size(); ++d)
    row[d] = int64_t(d) < dim ? uniform(random, -largest, largest) : 0.0f;
  row[random() % size_t(dim)] = random() % 2 ? largest : -largest;
  return row;
}

void finds_the_largest_magnitude() {
  Random random(3);
  for (const int64_t dim : dims(3)) {
    const float largest = uniform(random, 0.5f, 2);
    const ExactArray<float> row = padded_row(dim, largest, random);
    for_each_set([&](const Primitives& isa) {
      expect(isa.largest(row.data(), dim) == largest, isa.name, " largest, D ", dim);
    });
  }
}

void quantises_to_the_same_integers_everywhere() {
  Random random(4);
  for (const int64_t dim : dims(7))
    for (const int levels : {64, 127, 32767}) {
      ExactArray<float> row = padded_row(dim, float(levels), random);
      for (size_t d = 0; d < size_t(dim); d += 3)  // halves, which go to the even neighbour
        row[d] = float(random() % uint64_t(2 * levels - 2)) - float(levels) + 1.5f;
      for (const float inverse_scale : {1.0f, 0.77f})
        for (const int shift : {0, 128}) {
          const FirstPass pass = levels > 127 ? FirstPass::int16 : FirstPass::int8;
          double residual_square = 0, norm_square = 0;
          std::vector<int> want;
          for (size_t d = 0; d < row.size(); ++d) {
            const float scaled = row[d] * inverse_scale;
            const double n = std::nearbyint(double(scaled));
            want.push_back(int(n) + (pass == FirstPass::int8 ? shift : 0));
            residual_square += (scaled - n) * (scaled - n);
            norm_square += n * n;
          }
          const double slack = double(dim / 16 + 16) * 0x1p-23;
          for_each_set([&](const Primitives& isa) {
            const bool is_wide = pass == FirstPass::int16;
            ExactArray<int16_t> wide{is_wide ? row.size() : 0};
            ExactArray<uint8_t> bytes{is_wide ? 0 : row.size()};
            void* target = is_wide ? static_cast<void*>(wide.data()) : bytes.data();
            const Quantised got = isa.quantise(pass, row.data(), dim, inverse_scale, shift, target);
            for (size_t d = 0; d < row.size(); ++d) {
              const int n = is_wide ? int(wide[d]) : shift ? int(bytes[d]) : int(int8_t(bytes[d]));
              expect(n == want[d], isa.name, " quantises to ", levels, " levels, shift ", shift, ", D ", dim,
                     ", d ", d, ": ", row[d] * inverse_scale, " to ", n, ", wanted ", want[d]);
            }
            expect(std::abs(got.residual_square - residual_square) <= slack * residual_square, isa.name,
                   " residual, D ", dim, ": ", got.residual_square, ", wanted ", residual_square);
            expect(std::abs(got.norm_square - norm_square) <= slack * norm_square, isa.name, " norm, D ", dim,
                   ": ", got.norm_square, ", wanted ", norm_square);
          });
        }
    }
}

void packs_panels() {
  Random random(5);
  for (int64_t steps = 0; steps < 70; ++steps) {
    std::vector<ExactArray<int32_t>> rows;
    const int32_t* pointers[kPanelKeys];
    for (int i = 0; i < kPanelKeys; ++i) {
      rows.emplace_back(size_t(steps));
      for (size_t s = 0; s < size_t(steps); ++s) rows.back()[s] = int32_t(random());
    }
    for (int i = 0; i < kPanelKeys; ++i) pointers[i] = rows[size_t(i)].data();
    for_each_set([&](const Primitives& isa) {
      ExactArray<int32_t> panel{size_t(steps * kPanelKeys)};
      isa.pack_panel(pointers, steps, panel.data());
      for (size_t s = 0; s < size_t(steps); ++s)
        for (size_t i = 0; i < kPanelKeys; ++i)
          expect(panel[s * kPanelKeys + i] == rows[i][s], isa.name, " panel, ", steps, " steps, step ", s,
                 ", key ", i);
    });
  }
}

}  // namespace

void test_first_pass() {
  centres_within_one_rounding();
  the_signs_of_the_rotation_stay_what_they_are();
  rotates_within_sixteen_roundings();
  finds_the_largest_magnitude();
  quantises_to_the_same_integers_everywhere();
  packs_panels();
}

}  // namespace fastret::test
