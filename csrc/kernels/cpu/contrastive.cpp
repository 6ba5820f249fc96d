#include "kernels/contrastive.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/cpu/contrastive_rows.h"
#include "kernels/cpu/kernels.h"
#include "kernels/half.h"
#include "kernels/isa.h"

namespace fastret {

#if defined(__x86_64__)
extern const ContrastiveKernel<float> kContrastiveAvx2;
extern const ContrastiveKernel<float> kContrastiveAvx512;
#endif

namespace {

// The definition of the vectors of each instruction set, and all there is for float64.
template <class T>
struct Lanes {
  using Element = T;
  T v[kLossLanes];
  Lanes() = default;
  explicit Lanes(T value) { std::fill_n(v, kLossLanes, value); }
  static Lanes load(const T* source) {
    Lanes a;
    std::copy_n(source, kLossLanes, a.v);
    return a;
  }
  void store(T* target) const { std::copy_n(v, kLossLanes, target); }
};

struct Mask {
  bool v[kLossLanes];
};

template <class R, class F>
R each(F&& f) {
  R result;
  for (int64_t j = 0; j < kLossLanes; ++j) result.v[j] = f(j);
  return result;
}

template <class T>
Lanes<T> operator+(const Lanes<T>& a, const Lanes<T>& b) {
  return each<Lanes<T>>([&](int64_t j) { return a.v[j] + b.v[j]; });
}
template <class T>
Lanes<T> operator-(const Lanes<T>& a, const Lanes<T>& b) {
  return each<Lanes<T>>([&](int64_t j) { return a.v[j] - b.v[j]; });
}
template <class T>
Lanes<T> operator*(const Lanes<T>& a, const Lanes<T>& b) {
  return each<Lanes<T>>([&](int64_t j) { return a.v[j] * b.v[j]; });
}
template <class T>
Lanes<T> operator/(const Lanes<T>& a, const Lanes<T>& b) {
  return each<Lanes<T>>([&](int64_t j) { return a.v[j] / b.v[j]; });
}
template <class T>
Mask operator<(const Lanes<T>& a, const Lanes<T>& b) {
  return each<Mask>([&](int64_t j) { return a.v[j] < b.v[j]; });
}
template <class T>
Mask operator==(const Lanes<T>& a, const Lanes<T>& b) {
  return each<Mask>([&](int64_t j) { return a.v[j] == b.v[j]; });
}
template <class T>
Lanes<T> pick(const Mask& mask, const Lanes<T>& a, const Lanes<T>& b) {
  return each<Lanes<T>>([&](int64_t j) { return mask.v[j] ? a.v[j] : b.v[j]; });
}
Lanes<float> power_of_two(const Lanes<float>& shifted) {
  return each<Lanes<float>>(
      [&](int64_t j) { return float_from_bits((bits_of_float(shifted.v[j]) << 23) + 0x3f800000u); });
}
Lanes<float> exp_of(const Lanes<float>& x) {
  return exp_of_float(x);
}
Lanes<double> exp_of(const Lanes<double>& x) {
  return each<Lanes<double>>([&](int64_t j) { return std::exp(x.v[j]); });
}
Lanes<float> log_of_one_plus(const Lanes<float>& u) {
  return log_of_one_plus_float(u);
}
Lanes<double> log_of_one_plus(const Lanes<double>& u) {
  return each<Lanes<double>>([&](int64_t j) { return std::log1p(u.v[j]); });
}

const ContrastiveKernel<double>& kernel_of(double) {
  return ContrastiveRows<Lanes<double>>::kKernel;
}

const ContrastiveKernel<float>& kernel_of(float) {
#if defined(__x86_64__)
  const char* name = primitives().name;
  if (std::strncmp(name, "avx512", 6) == 0) return kContrastiveAvx512;
  if (std::strncmp(name, "avx2", 4) == 0) return kContrastiveAvx2;
#endif
  return ContrastiveRows<Lanes<float>>::kKernel;
}

int64_t padded(int64_t columns) {
  return (columns + kLossLanes - 1) / kLossLanes * kLossLanes;
}

// body(column) for each of a row's columns in the tile.
template <class F>
void visit(const ColumnLists& lists, int64_t row, int64_t columns, F&& body) {
  if (!lists.begins) return;
  for (int64_t i = lists.begins[row]; i < lists.ends[row]; ++i) {
    const int64_t column = lists.columns[i] - lists.first;
    if (column >= 0 && column < columns) body(column);
  }
}

// One row at a time as T, padded. Its positives step aside: they are candidates that no limit concerns.
template <class T>
class RowReader {
 public:
  static constexpr T kInfinity = std::numeric_limits<T>::infinity();

  struct Positive {
    int64_t column;
    T score;  // less the margin
    T worth;
  };

  RowReader(const ContrastiveTile& tile)
      : tile_(tile),
        scores_(size_t(padded(tile.columns)), -kInfinity),
        judge_(tile.judge ? scores_.size() : 0) {}

  Candidates<T> read(int64_t row) {
    widen(tile_.scores, row * tile_.row_stride, scores_.data());
    std::fill(scores_.begin() + tile_.columns, scores_.end(), -kInfinity);
    if (tile_.judge) widen(tile_.judge, row * tile_.judge_stride, judge_.data());
    positives_.clear();
    visit(tile_.positives, row, tile_.columns, [&](int64_t column) {
      const T score = scores_[size_t(column)] - T(tile_.margin);
      positives_.push_back({column, score, score * T(tile_.positive_scale)});
    });
    visit(tile_.excluded, row, tile_.columns, [&](int64_t column) { scores_[size_t(column)] = -kInfinity; });
    for (const Positive& positive : positives_) scores_[size_t(positive.column)] = -kInfinity;
    const T limit = tile_.row_limits ? T(tile_.row_limits[row]) : kInfinity;
    return {scores_.data(), tile_.judge ? judge_.data() : scores_.data(), int64_t(scores_.size()),
            T(tile_.scale), limit};
  }

  const std::vector<Positive>& positives() const { return positives_; }
  T* scores() { return scores_.data(); }

  // What is in scores() takes the place of the row.
  void write(int64_t row) {
    const size_t n = size_t(tile_.columns);
    const int64_t first = row * tile_.row_stride;
    if constexpr (std::is_same_v<T, float>) {
      if (tile_.type != ScoreType::f32) {
        uint16_t* target = static_cast<uint16_t*>(tile_.scores) + first;
        if (tile_.type == ScoreType::bf16)
          std::transform(scores_.begin(), scores_.begin() + int64_t(n), target, round_to_bf16);
        else
          std::transform(scores_.begin(), scores_.begin() + int64_t(n), target, round_to_f16);
        return;
      }
    }
    std::copy_n(scores_.data(), n, static_cast<T*>(tile_.scores) + first);
  }

 private:
  void widen(const void* source, int64_t first, T* target) const {
    if constexpr (std::is_same_v<T, float>) {
      if (tile_.type != ScoreType::f32) {
        primitives().widen(static_cast<const uint16_t*>(source) + first, DType(tile_.type), tile_.columns,
                           target);
        return;
      }
    }
    std::copy_n(static_cast<const T*>(source) + first, tile_.columns, target);
  }

  const ContrastiveTile& tile_;
  std::vector<T> scores_, judge_;
  std::vector<Positive> positives_;
};

template <class T>
void tell_hardest(const Candidates<T>& c, int64_t columns, int64_t k, std::vector<float>& negatives,
                  float* hardest, int64_t* hardest_columns) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  for (int64_t j = 0; j < columns; ++j)
    negatives[size_t(j)] = c.judge[j] > c.limit ? kNone : float(c.scores[j]);
  const Parallel here = {[](int64_t count, int, void* context, void (*body)(void*, int64_t, int64_t)) {
                           body(context, 0, count);
                         },
                         1};
  cpu::select_k({{negatives.data(), 1, columns, columns, DType::f32}, k, true, hardest, hardest_columns},
                here);
  for (int64_t i = 0; i < k; ++i)
    if (hardest[i] == kNone) hardest_columns[i] = -1;
}

template <class T>
void stats_of(const ContrastiveTile& tile, const ContrastiveStats& found, const Parallel& parallel) {
  const ContrastiveKernel<T>& kernel = kernel_of(T());
  parallel(tile.rows, [&](int64_t begin, int64_t end) {
    RowReader<T> reader(tile);
    std::vector<float> negatives(found.k ? size_t(tile.columns) : 0);
    for (int64_t row = begin; row < end; ++row) {
      const Candidates<T> candidates = reader.read(row);
      if (found.k)
        tell_hardest(candidates, tile.columns, found.k, negatives, found.hardest + row * found.k,
                     found.hardest_columns + row * found.k);
      const auto stat = [&](Stat which) -> double& { return found.stats[which * found.stat_stride + row]; };
      const Worths worths = kernel.worths(candidates);
      T largest = T(std::max(stat(kLargest), worths.largest));
      for (const auto& positive : reader.positives())
        if (!(positive.worth <= largest)) largest = positive.worth;  // NaN stays
      stat(kCount) += worths.count + double(reader.positives().size());
      stat(kWorthSum) += worths.sum;
      if (stat(kCount) == 0) continue;
      double sum = kernel.exp_sum(candidates, largest);
      if (stat(kExpSum) > 0) sum += stat(kExpSum) * std::exp(stat(kLargest) - double(largest));
      for (const auto& positive : reader.positives()) {
        sum += std::exp(double(positive.worth) - double(largest));
        stat(kWorthSum) += positive.worth;
        stat(kPositiveWorth) += positive.worth;
      }
      stat(kLargest) = largest;
      stat(kExpSum) = sum;
    }
  });
}

// [kCoefficients, C] and limits as T, padded.
template <class T>
class ColumnTerms {
 public:
  ColumnTerms(const ContrastiveTile& tile, const ContrastiveGradient& given) {
    if (!given.columns) return;
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    const size_t n = size_t(padded(tile.columns));
    for (int i = 0; i < kCoefficients; ++i) {
      const double* source = given.columns + i * given.column_coefficient_stride;
      terms_[i].assign(n, i == kOffset ? kInfinity : 0);
      std::copy_n(source, tile.columns, terms_[i].begin());
    }
    limits_.assign(n, kInfinity);
    if (tile.column_limits) std::copy_n(tile.column_limits, tile.columns, limits_.begin());
  }

  CandidateCoefficients<T> view() const {
    if (limits_.empty()) return {nullptr, nullptr, nullptr, nullptr};
    return {terms_[kOffset].data(), terms_[kFactor].data(), terms_[kSmoothing].data(), limits_.data()};
  }
  // That of a positive.
  double gradient(int64_t column, T worth) const {
    if (limits_.empty()) return 0;
    const auto term = [&](Coefficient i) { return double(terms_[i][size_t(column)]); };
    return std::exp(double(worth) - term(kOffset)) * term(kFactor) - term(kSmoothing) - term(kTarget);
  }

 private:
  std::vector<T> terms_[kCoefficients], limits_;
};

template <class T>
void gradient_of(const ContrastiveTile& tile, const ContrastiveGradient& given, const Parallel& parallel) {
  const ContrastiveKernel<T>& kernel = kernel_of(T());
  const ColumnTerms<T> columns(tile, given);
  parallel(tile.rows, [&](int64_t begin, int64_t end) {
    RowReader<T> reader(tile);
    for (int64_t row = begin; row < end; ++row) {
      const Candidates<T> candidates = reader.read(row);
      const auto term = [&](Coefficient i) { return given.rows[i * given.row_coefficient_stride + row]; };
      double product = kernel.gradient(candidates, {T(term(kOffset)), T(term(kFactor)), T(term(kSmoothing))},
                                       columns.view(), reader.scores());
      for (const auto& positive : reader.positives()) {
        const double of_anchor = std::exp(double(positive.worth) - term(kOffset)) * term(kFactor) -
                                 term(kSmoothing) - term(kTarget);
        const T g = T(of_anchor + columns.gradient(positive.column, positive.worth));
        reader.scores()[positive.column] = g;
        product += double(g) * double(positive.score);
      }
      if (given.score_products) given.score_products[row] += product;
      reader.write(row);
    }
  });
}

template <class T>
void sigmoid_of(const ContrastiveTile& tile, const SigmoidTile& given, const Parallel& parallel) {
  const ContrastiveKernel<T>& kernel = kernel_of(T());
  parallel(tile.rows, [&](int64_t begin, int64_t end) {
    RowReader<T> reader(tile);
    for (int64_t row = begin; row < end; ++row) {
      const Candidates<T> candidates = reader.read(row);
      const double weight = given.row_weights[row];
      SigmoidSums sums =
          kernel.sigmoid(candidates, T(given.bias), T(weight), given.gradient ? reader.scores() : nullptr);
      for (const auto& positive : reader.positives()) {
        const double worth = double(T(positive.worth + T(given.bias)));
        const double u = std::exp(-std::abs(worth));  // NaN stays
        sums.loss += std::max(-worth, 0.0) + std::log1p(u);
        const T g = T(weight * -(worth < 0 ? 1 : u) / (1 + u));
        sums.gradient += g;
        sums.product += double(g) * double(positive.score);
        if (given.gradient) reader.scores()[positive.column] = g;
      }
      given.losses[row] += sums.loss;
      given.sums[row] += sums.gradient;
      given.score_products[row] += sums.product;
      if (given.gradient) reader.write(row);
    }
  });
}

}  // namespace

namespace cpu {

void contrastive_stats(const ContrastiveTile& tile, const ContrastiveStats& found, const Parallel& parallel) {
  if (tile.type == ScoreType::f64) return stats_of<double>(tile, found, parallel);
  stats_of<float>(tile, found, parallel);
}

void contrastive_gradient(const ContrastiveTile& tile, const ContrastiveGradient& given,
                          const Parallel& parallel) {
  if (tile.type == ScoreType::f64) return gradient_of<double>(tile, given, parallel);
  gradient_of<float>(tile, given, parallel);
}

void sigmoid_tile(const ContrastiveTile& tile, const SigmoidTile& given, const Parallel& parallel) {
  if (tile.type == ScoreType::f64) return sigmoid_of<double>(tile, given, parallel);
  sigmoid_of<float>(tile, given, parallel);
}

}  // namespace cpu
}  // namespace fastret
