// Tiles of contrastive losses against sums in float64 one candidate after the other, for every instruction
// set.
#include <algorithm>
#include <cmath>
#include <vector>

#include "expect.h"
#include "groups.h"
#include "kernels/contrastive.h"
#include "kernels/half.h"
#include "sets.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

// Scores of R anchors with C candidates in rows that are further apart; row r has the positives r and r + 3,
// of the columns from first_column on, and column 2 is excluded for all but is a positive of some.
struct Case {
  ScoreType type;
  int64_t rows, columns, stride, first_column;
  std::vector<double> values;  // [R, C], as stored
  std::vector<char> stored;    // the rows, of `type`
  ExactArray<int64_t> positive_bounds, positives, excluded_bounds, excluded;
  ExactArray<double> row_limits, column_limits;
  bool limited;

  Case(ScoreType t, int64_t r, int64_t c, int64_t first, bool limits)
      : type(t),
        rows(r),
        columns(c),
        stride(c + 3),
        first_column(first),
        values(size_t(r * c)),
        stored(size_t(r ? ((r - 1) * stride + c) * width() : 0)),
        positive_bounds(size_t(2 * r)),
        positives(size_t(2 * r)),
        excluded_bounds(size_t(2 * r)),
        excluded(1),
        row_limits(size_t(r)),
        column_limits(size_t(c)),
        limited(limits) {
    Random random(uint64_t(r * 131 + c * 7 + int64_t(t)));
    for (double& value : values) value = rounded(bell(random) / 2);
    if (c > 5) values[5] = kNone;
    excluded[0] = first + 2;
    for (int64_t i = 0; i < r; ++i) {
      positive_bounds[size_t(i)] = 2 * i, positive_bounds[size_t(r + i)] = 2 * i + 2;
      positives[size_t(2 * i)] = i, positives[size_t(2 * i + 1)] = i + 3;
      excluded_bounds[size_t(i)] = 0, excluded_bounds[size_t(r + i)] = 1;
      row_limits[size_t(i)] = c > 7 ? values[size_t(i * c + 7)] : 0.2;  // exactly that of a candidate
    }
    for (int64_t j = 0; j < c; ++j) column_limits[size_t(j)] = 0.1 + 0.01 * double(j % 16);
  }

  int64_t width() const { return type == ScoreType::f64 ? 8 : type == ScoreType::f32 ? 4 : 2; }
  double rounded(float value) const {
    if (type == ScoreType::bf16) return widen_bf16(round_to_bf16(value));
    if (type == ScoreType::f16) return widen_f16(round_to_f16(value));
    return value;
  }
  void store() {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        const double value = values[size_t(i * columns + j)];
        const float narrow = float(value);
        const uint16_t half = type == ScoreType::bf16 ? round_to_bf16(narrow) : round_to_f16(narrow);
        const void* source = type == ScoreType::f64   ? static_cast<const void*>(&value)
                             : type == ScoreType::f32 ? static_cast<const void*>(&narrow)
                                                      : &half;
        std::memcpy(stored.data() + (i * stride + j) * width(), source, size_t(width()));
      }
  }
  double read(int64_t i, int64_t j) const {
    const char* at = stored.data() + (i * stride + j) * width();
    double wide;
    float narrow;
    uint16_t half;
    if (type == ScoreType::f64) return std::memcpy(&wide, at, 8), wide;
    if (type == ScoreType::f32) return std::memcpy(&narrow, at, 4), double(narrow);
    std::memcpy(&half, at, 2);
    return type == ScoreType::bf16 ? widen_bf16(half) : widen_f16(half);
  }
  bool is_positive(int64_t i, int64_t j) const { return j + first_column == i || j + first_column == i + 3; }
  // A candidate's worth to its row, or to its column; kNone where it is none.
  double worth(int64_t i, int64_t j, bool to_column) const {
    const double score = values[size_t(i * columns + j)];
    if (is_positive(i, j)) return (score - 0.25) * 9;
    const double limit = to_column ? column_limits[size_t(j)] : row_limits[size_t(i)];
    if (j == 2 || score == kNone || (limited && score > float(limit))) return kNone;
    return score * 11;
  }
  ContrastiveTile tile() {
    return {stored.data(),
            type,
            rows,
            columns,
            stride,
            9,
            11,
            0.25,
            {positive_bounds.data(), positive_bounds.data() + rows, positives.data(), first_column},
            {excluded_bounds.data(), excluded_bounds.data() + rows, excluded.data(), first_column},
            nullptr,
            0,
            limited ? row_limits.data() : nullptr,
            limited ? column_limits.data() : nullptr};
  }
};

bool near(double got, double wanted, double scale, double unit) {
  return got == wanted || std::abs(got - wanted) <= 64 * unit * scale ||
         (std::isnan(got) && std::isnan(wanted));
}

void check_stats(Case& work, const char* set, double unit, std::vector<double>& bits) {
  const size_t rows = size_t(work.rows);
  ExactArray<double> stats(kStats * rows);
  std::fill_n(stats.data(), kStats * rows, 0.0);
  std::fill_n(stats.data(), rows, kNone);
  const int64_t k = 3;
  ExactArray<float> hardest(3 * rows);
  ExactArray<int64_t> hardest_columns(3 * rows);
  work.store();
  // Twice: what an earlier tile left is added to.
  for (int time = 0; time < 2; ++time) {
    if (time)  // as of an earlier tile whose largest worth was another
      for (size_t r = 0; r < rows; ++r)
        if (stats[r] > kNone) stats[rows + r] *= std::exp(stats[r] - (stats[r] - 0.5)), stats[r] -= 0.5;
    cpu::contrastive_stats(work.tile(), {stats.data(), work.rows, k, hardest.data(), hardest_columns.data()},
                           threads<2>());
  }
  for (int64_t i = 0; i < work.rows; ++i) {
    double largest = kNone, sum = 0, worths = 0, count = 0, positive = 0;
    int64_t best = -1;
    for (int64_t j = 0; j < work.columns; ++j) {
      const double w = work.worth(i, j, false);
      if (w == kNone) continue;
      largest = std::max(largest, w), worths += w, count += 1;
      if (work.is_positive(i, j))
        positive += w;
      else if (best < 0 || w > work.worth(i, best, false))
        best = j;
    }
    for (int64_t j = 0; j < work.columns; ++j)
      if (count > 0) sum += std::exp(work.worth(i, j, false) - largest);
    const double wanted[] = {largest, 2 * sum, 2 * worths, 2 * count, 2 * positive};
    for (size_t s = 0; s < kStats; ++s)
      expect(near(stats[s * rows + size_t(i)], wanted[s], 30 + std::abs(wanted[s]) + count, unit), "stats, ",
             set, ", type ", int(work.type), ", C ", work.columns, ", row ", i, ", stat ", s, ": ",
             stats[s * rows + size_t(i)], ", wanted ", wanted[s]);
    expect(hardest_columns[size_t(3 * i)] == best, "hardest, ", set, ", C ", work.columns, ", row ", i, ": ",
           hardest_columns[size_t(3 * i)], ", wanted ", best);
  }
  bits.insert(bits.end(), stats.data(), stats.data() + kStats * rows);
}

void check_gradient(Case& work, bool columns, const char* set, double unit, std::vector<double>& bits) {
  const size_t rows = size_t(work.rows), width = size_t(work.columns);
  ExactArray<double> of_rows(kCoefficients * rows), of_columns(kCoefficients * width), products(rows);
  const auto fill = [](ExactArray<double>& c, size_t n) {
    for (size_t i = 0; i < n; ++i)
      c[i] = 10 + double(i % 3), c[n + i] = 0.25 + double(i % 5) / 16, c[2 * n + i] = 0.0625,
      c[3 * n + i] = 0.5;
  };
  fill(of_rows, rows), fill(of_columns, width);
  std::fill_n(products.data(), rows, 0.0);
  work.store();
  cpu::contrastive_gradient(
      work.tile(),
      {of_rows.data(), work.rows, columns ? of_columns.data() : nullptr, work.columns, products.data()},
      threads<2>());
  const auto term = [](const ExactArray<double>& c, size_t n, size_t i, double worth, bool positive) {
    return worth == kNone ? 0
                          : std::exp(worth - c[i]) * c[n + i] - c[2 * n + i] - (positive ? c[3 * n + i] : 0);
  };
  const double kept = work.type == ScoreType::bf16 ? 0x1p-9 : work.type == ScoreType::f16 ? 0x1p-12 : unit;
  for (int64_t i = 0; i < work.rows; ++i) {
    double product = 0, size = 0;
    for (int64_t j = 0; j < work.columns; ++j) {
      const bool positive = work.is_positive(i, j);
      double wanted = term(of_rows, rows, size_t(i), work.worth(i, j, false), positive);
      if (columns) wanted += term(of_columns, width, size_t(j), work.worth(i, j, true), positive);
      const double score = work.values[size_t(i * work.columns + j)];
      if (score > kNone) product += wanted * (positive ? score - 0.25 : score), size += std::abs(wanted);
      const double got = work.read(i, j);
      expect(near(got, wanted, 2 + std::abs(wanted), kept), "gradient, ", set, ", type ", int(work.type),
             ", C ", work.columns, ", ", columns, work.limited, ", at ", i, ", ", j, ": ", got, ", wanted ",
             wanted);
      bits.push_back(got);
    }
    expect(near(products[size_t(i)], product, 2 + size, unit), "score products, ", set, ", row ", i, ": ",
           products[size_t(i)], ", wanted ", product);
    bits.push_back(products[size_t(i)]);
  }
}

void check_sigmoid(Case& work, const char* set, double unit, std::vector<double>& bits) {
  const size_t rows = size_t(work.rows);
  ExactArray<double> weights(rows), losses(rows), sums(rows), products(rows);
  for (size_t i = 0; i < rows; ++i)
    weights[i] = 0.5 + double(i % 4) / 8, losses[i] = sums[i] = products[i] = 0;
  work.store();
  ContrastiveTile tile = work.tile();
  tile.margin = 0, tile.positive_scale = tile.scale, tile.excluded = {}, tile.row_limits = nullptr;
  cpu::sigmoid_tile(tile, {-1.5, weights.data(), losses.data(), sums.data(), products.data(), true},
                    threads<2>());
  const double kept = work.type == ScoreType::bf16 ? 0x1p-9 : work.type == ScoreType::f16 ? 0x1p-12 : unit;
  for (int64_t i = 0; i < work.rows; ++i) {
    double loss = 0, sum = 0, product = 0;
    for (int64_t j = 0; j < work.columns; ++j) {
      const double score = work.values[size_t(i * work.columns + j)];
      if (score == kNone) continue;
      const double z = score * 11 - 1.5, sign = work.is_positive(i, j) ? -1 : 1;
      const double wanted = weights[size_t(i)] * sign / (1 + std::exp(-sign * z));
      loss += std::log1p(std::exp(sign * z)), sum += wanted, product += wanted * score;
      expect(near(work.read(i, j), wanted, 1, kept), "sigmoid, ", set, ", type ", int(work.type), ", at ", i,
             ", ", j, ": ", work.read(i, j), ", wanted ", wanted);
      bits.push_back(work.read(i, j));
    }
    const double got[] = {losses[size_t(i)], sums[size_t(i)], products[size_t(i)]},
                 wanted[] = {loss, sum, product};
    for (int s = 0; s < 3; ++s)
      expect(near(got[s], wanted[s], 8 + loss, unit), "sigmoid sums, ", set, ", C ", work.columns, ", row ",
             i, ", ", s, ": ", got[s], ", wanted ", wanted[s]);
    bits.insert(bits.end(), got, got + 3);
  }
}

}  // namespace

void test_contrastive() {
  for (const ScoreType type : {ScoreType::f32, ScoreType::bf16, ScoreType::f16, ScoreType::f64})
    for (const int64_t columns : {0, 1, 6, 16, 31, 600})
      for (const bool limited : {false, true}) {
        Case work(type, 9, columns, columns % 2, limited);
        const double unit = type == ScoreType::f64 ? 0x1p-50 : kU;
        std::vector<double> first;
        for_each_set([&](const Primitives& set) {
          std::vector<double> bits;
          check_stats(work, set.name, unit, bits);
          for (const bool with_columns : {false, true})
            check_gradient(work, with_columns, set.name, unit, bits);
          check_sigmoid(work, set.name, unit, bits);
          if (first.empty()) first = bits;
          const bool same =
              first.size() == bits.size() &&
              (bits.empty() || !std::memcmp(first.data(), bits.data(), bits.size() * sizeof(double)));
          expect(same, "contrastive, ", set.name, ", type ", int(type), ", C ", columns,
                 ": other bits than the first set");
        });
      }
}

}  // namespace fastret::test
