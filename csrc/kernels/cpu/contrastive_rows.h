// The sums and gradients over the candidates of one anchor: what every instruction set compiles, with its own
// Vector of 16 lanes. The same bits on each: 16 strided lanes in blocks of kBlock, a fixed tree, no fused
// multiply-add.
#pragma once
#include <cstdint>

namespace fastret {

constexpr int64_t kLossLanes = 16;
constexpr int64_t kBlock = 512;

struct Worths {
  double largest, sum, count;
};

struct SigmoidSums {
  double loss, gradient, product;
};

// Candidates are [n], n a multiple of kLossLanes, padded with -inf; judged above the limit they count for
// nothing.
template <class T>
struct Candidates {
  const T *scores, *judge;
  int64_t n;
  T scale, limit;
};

// As of kernels/contrastive.h.
template <class T>
struct AnchorCoefficients {
  T offset, factor, smoothing;
};

// [n] each; offsets nullptr: candidates are no anchors.
template <class T>
struct CandidateCoefficients {
  const T *offsets, *factors, *smoothings, *limits;
};

template <class T>
struct ContrastiveKernel {
  Worths (*worths)(const Candidates<T>& c);
  double (*exp_sum)(const Candidates<T>& c, T largest);
  // -> sum of gradient times score; `gradient` may be the scores.
  double (*gradient)(const Candidates<T>& c, const AnchorCoefficients<T>& anchor,
                     const CandidateCoefficients<T>& candidates, T* gradient);
  // All candidates are negatives. gradient: weight times that of the loss, or nullptr.
  SigmoidSums (*sigmoid)(const Candidates<T>& c, T bias, T weight, T* gradient);
};

template <class V>
struct ContrastiveRows {
  using T = typename V::Element;
  static constexpr T kInfinity = T(__builtin_inff());

  static V worth(const Candidates<T>& c, int64_t i, V limit) {
    return pick(limit < V::load(c.judge + i), V(-kInfinity), V::load(c.scores + i) * V(c.scale));
  }

  // body(i) for each step of kLossLanes, and after each block end_block().
  template <class Body, class End>
  static void in_blocks(int64_t n, Body&& body, End&& end_block) {
    for (int64_t first = 0; first < n; first += kBlock) {
      const int64_t end = first + kBlock < n ? first + kBlock : n;
      for (int64_t i = first; i < end; i += kLossLanes) body(i);
      end_block();
    }
  }

  static double drain(V& lanes) {
    T values[kLossLanes];
    lanes.store(values);
    lanes = V(T(0));
    for (int64_t half = kLossLanes / 2; half; half /= 2)
      for (int64_t j = 0; j < half; ++j) values[j] += values[j + half];
    return double(values[0]);
  }

  static Worths worths(const Candidates<T>& c) {
    const V none(-kInfinity), zero(T(0)), one(T(1)), limit(c.limit);
    V largest = none, sum = zero, count = zero;
    Worths found = {0, 0, 0};
    in_blocks(
        c.n,
        [&](int64_t i) {
          const V w = worth(c, i, limit);
          largest = pick(largest < w, w, largest);
          const auto absent = w == none;
          sum = sum + pick(absent, zero, w);
          count = count + pick(absent, zero, one);
        },
        [&] { found.sum += drain(sum), found.count += drain(count); });
    T values[kLossLanes];
    largest.store(values);
    for (int64_t j = 1; j < kLossLanes; ++j)
      if (values[0] < values[j]) values[0] = values[j];
    found.largest = double(values[0]);
    return found;
  }

  static double exp_sum(const Candidates<T>& c, T largest) {
    const V limit(c.limit), most(largest);
    V sum(T(0));
    double total = 0;
    in_blocks(
        c.n, [&](int64_t i) { sum = sum + exp_of(worth(c, i, limit) - most); }, [&] { total += drain(sum); });
    return total;
  }

  static double gradient(const Candidates<T>& c, const AnchorCoefficients<T>& anchor,
                         const CandidateCoefficients<T>& candidates, T* gradient) {
    const V none(-kInfinity), zero(T(0)), limit(c.limit);
    const V offset(anchor.offset), factor(anchor.factor), smoothing(anchor.smoothing);
    V products = zero;
    double total = 0;
    in_blocks(
        c.n,
        [&](int64_t i) {
          const V w = worth(c, i, limit), score = V::load(c.scores + i);
          V g = exp_of(w - offset) * factor - pick(w == none, zero, smoothing);
          if (candidates.offsets) {
            const V other = worth(c, i, V::load(candidates.limits + i));
            g = g + (exp_of(other - V::load(candidates.offsets + i)) * V::load(candidates.factors + i) -
                     pick(other == none, zero, V::load(candidates.smoothings + i)));
          }
          products = products + pick(score == none, zero, g * score);
          g.store(gradient + i);
        },
        [&] { total += drain(products); });
    return total;
  }

  static SigmoidSums sigmoid(const Candidates<T>& c, T bias, T weight, T* gradient) {
    const V none(-kInfinity), zero(T(0)), one(T(1));
    V losses = zero, sums = zero, products = zero;
    SigmoidSums found = {0, 0, 0};
    in_blocks(
        c.n,
        [&](int64_t i) {
          const V score = V::load(c.scores + i), w = score * V(c.scale) + V(bias);
          const auto absent = score == none, negative = w < zero;
          const V u = exp_of(pick(negative, w, zero - w));  // exp(-|w|)
          losses = losses + (pick(negative, zero, w) + log_of_one_plus(u));
          const V g = pick(absent, zero, pick(negative, u, one) / (one + u) * V(weight));
          sums = sums + g;
          products = products + pick(absent, zero, g * score);
          if (gradient) g.store(gradient + i);
        },
        [&] {
          found.loss += drain(losses), found.gradient += drain(sums), found.product += drain(products);
        });
    return found;
  }

  static constexpr ContrastiveKernel<T> kKernel = {worths, exp_sum, gradient, sigmoid};
};

// exp(x) for x up to 80 within 2 ulp, below -87 as 0 (the polynomial of Cephes' expf).
template <class V>
V exp_of_float(V x) {
  // Added to a number of up to 22 bits, it leaves the nearest integer in the last bits.
  const V shift(12582912.0f);
  const V shifted = x * V(1.44269504f) + shift, n = shifted - shift;
  const V r = (x - n * V(0.693359375f)) - n * V(-2.12194440e-4f);
  V p = r * V(1.9875691500e-4f) + V(1.3981999507e-3f);
  p = p * r + V(8.3334519073e-3f);
  p = p * r + V(4.1665795894e-2f);
  p = p * r + V(1.6666665459e-1f);
  p = p * r + V(5.0000001201e-1f);
  const V y = (p * (r * r) + r) + V(1.0f);
  return pick(x < V(-87.0f), V(0.0f), y * power_of_two(shifted));
}

// log(1 + u) for u from 0 to 1: twice the series of atanh(u / (2 + u)).
template <class V>
V log_of_one_plus_float(V u) {
  const V w = u / (V(2.0f) + u), square = w * w;
  V p = square * V(1.0f / 15) + V(1.0f / 13);
  p = p * square + V(1.0f / 11);
  p = p * square + V(1.0f / 9);
  p = p * square + V(1.0f / 7);
  p = p * square + V(1.0f / 5);
  p = p * square + V(1.0f / 3);
  p = p * square + V(1.0f);
  return V(2.0f) * w * p;
}

}  // namespace fastret
