// Attacks the proof of error_bound.cuh. Hill climbing looks for a query and a key whose score lies outside
// the interval that the first pass gives it; rows built for it come close to the ends, so that the main parts
// of the bound cannot be smaller. Prints how close each attack came, and fails where one got outside.
#include <algorithm>
#include <random>
#include <vector>

#include "expectations.h"
#include "kernels/cuda/error_bound.cuh"
#include "kernels/cuda/tensor_core.cuh"
#include "matrices.h"

using namespace fastret;

namespace {

using Row = std::vector<float>;
using Wide = long double;
using Random = std::mt19937;

constexpr Metric kMetrics[] = {Metric::inner_product, Metric::cosine, Metric::l2};
constexpr const char* kMetricNames[] = {"inner product", "cosine", "l2"};

struct Pass {
  int group;   // products that a tensor core adds up at once
  bool finer;  // three products instead of one
};
constexpr Pass kPasses[] = {{4, false}, {8, false}, {16, false}, {4, true}, {8, true}, {16, true}};

// ---- A pair, and where its score lies

struct Split {
  Row high, middle;  // [plane_stride(D)]
  cuda::RowNorms norms;

  explicit Split(const Row& row)
      : high(size_t(cuda::plane_stride(int64_t(row.size())))), middle(high.size()), norms{} {
    for (size_t d = 0; d < row.size(); ++d) {
      const float x = row[d];
      high[d] = widen_bf16(cuda::high_of(bits_of_float(x)));
      middle[d] = widen_bf16(cuda::middle_of(x));
      norms.exact += double(x) * x;
      norms.residual += (double(x) - high[d]) * (double(x) - high[d]);
      norms.high += double(high[d]) * high[d];
    }
    norms = {std::sqrt(norms.exact), std::sqrt(norms.residual), std::sqrt(norms.high)};
  }
};

template <int Group>
float add_products(float sum, const Row& a, const Row& b) {
  for (size_t first = 0; first < a.size(); first += Group) {
    double products[Group];
    for (size_t i = 0; i < Group; ++i) products[i] = double(a[first + i]) * b[first + i];
    sum = cuda::simulated::cut_sum(sum, products);
  }
  return sum;
}

float add_products(const Pass& pass, float sum, const Row& a, const Row& b) {
  return pass.group == 4   ? add_products<4>(sum, a, b)
         : pass.group == 8 ? add_products<8>(sum, a, b)
                           : add_products<16>(sum, a, b);
}

Wide dot(const Row& a, const Row& b) {
  Wide sum = 0;
  for (size_t d = 0; d < a.size(); ++d) sum += Wide(a[d]) * b[d];
  return sum;
}

// How far, in half widths, the further of the exact and the canonical t is from the middle of the interval. 0
// where nothing is claimed of the pair; infinity where an end is no number.
Wide reached(Metric metric, const Pass& pass, const Row& query, const Row& key) {
  const int64_t dim = int64_t(query.size());
  const Split q(query), x(key);
  const cuda::KeyFacts key_facts = cuda::key_facts(metric, x.norms);
  if (!cuda::fits_first_pass(q.norms.exact) || key_facts.residual == kInf) return 0;
  const cuda::QueryFacts query_facts = cuda::query_facts(metric, dim, q.norms, kNan, pass.finer);
  float sum = 0;
  if (pass.finer) {
    sum = add_products(pass, sum, q.high, x.middle);
    sum = add_products(pass, sum, q.middle, x.high);
  }
  sum = add_products(pass, sum, q.high, x.high);
  const cuda::Ends ends = cuda::ends(std::fmaf(sum, key_facts.scale, key_facts.bias), query_facts,
                                     cuda::squared_extra(metric, dim), key_facts);

  const Wide norm = std::sqrt(dot(query, query)), key_norm = std::sqrt(dot(key, key));
  const Wide canonical = score_of(metric, query.data(), key.data(), dim);
  Wide truths[] = {dot(query, key), canonical};
  if (metric == Metric::cosine) {
    truths[0] = key_norm > 0 ? truths[0] / key_norm : 0;
    truths[1] *= norm;
  } else if (metric == Metric::l2) {
    truths[0] -= key_norm * key_norm / 2;
    truths[1] = (norm * norm - canonical) / 2;
  }
  const Wide middle = (Wide(ends.lower) + ends.upper) / 2, half = (Wide(ends.upper) - ends.lower) / 2;
  const Wide distance = std::max(std::fabs(truths[0] - middle), std::fabs(truths[1] - middle));
  if (distance == 0 && half == 0) return 0;
  return distance / half >= 0 ? distance / half : Wide(kInf);
}

struct Closest {
  const char* attack;
  Wide value = 0;

  void meet(Metric metric, const Pass& pass, const Row& query, const Row& key) {
    const Wide found = reached(metric, pass, query, key);
    expect(found <= 1, std::string(attack) + ": " + std::to_string(double(found)) +
                           " half widths from the middle: " + kMetricNames[int(metric)] +
                           (pass.finer ? ", finer, " : ", ") + std::to_string(query.size()) +
                           " dimensions, groups of " + std::to_string(pass.group));
    value = std::max(value, found);
  }
  ~Closest() { std::printf("%s: %.3f\n", attack, double(value)); }
};

// ---- Climbing

float uniform(Random& random, float low, float high) {
  return std::uniform_real_distribution<float>(low, high)(random);
}

float bell(Random& random) {
  return std::normal_distribution<float>()(random);
}

Row scaled_to(Row row, double norm) {
  const double factor = norm / double(std::sqrt(dot(row, row)));
  for (float& value : row) value = float(value * factor);
  return row;
}

struct Pair {
  Row query, key;
};

enum class Start { normal, spiky, bfloat16, least_norms, most_norms, far_norms, near };
constexpr Start kStarts[] = {Start::normal,     Start::spiky,     Start::bfloat16, Start::least_norms,
                             Start::most_norms, Start::far_norms, Start::near};

Pair start(Start kind, size_t dim, Random& random) {
  Pair pair = {Row(dim), Row(dim)};
  const float apart = std::pow(10.0f, uniform(random, -7, 0));
  for (size_t d = 0; d < dim; ++d) {
    const float rare = kind == Start::spiky && random() % 8 ? 1e-3f : 1;
    pair.query[d] = rare * bell(random);
    pair.key[d] = kind == Start::near ? pair.query[d] * (1 + apart * bell(random)) : rare * bell(random);
    if (kind == Start::bfloat16)
      for (float* value : {&pair.query[d], &pair.key[d]}) *value = widen_bf16(round_to_bf16(*value));
  }
  const double low = cuda::kLeastNorm * 1.001, high = cuda::kMostNorm * 0.999;
  if (kind == Start::least_norms) return {scaled_to(pair.query, low), scaled_to(pair.key, low)};
  if (kind == Start::most_norms) return {scaled_to(pair.query, high), scaled_to(pair.key, high)};
  if (kind == Start::far_norms)
    return random() % 2 ? Pair{scaled_to(pair.query, low), scaled_to(pair.key, high)}
                        : Pair{scaled_to(pair.query, high), scaled_to(pair.key, low)};
  return pair;
}

Row mutant(Row row, Random& random) {
  for (uint64_t changes = 1 + random() % 3; changes; --changes) {
    float& value = row[random() % row.size()];
    switch (random() % 6) {
      case 0:
        value *= 1 + float(int(random() % 15) - 7) * 0x1p-23f;
        break;
      case 1:
        value *= 1 + float(int(random() % 15) - 7) * 0x1p-9f;
        break;
      case 2:
        value *= random() % 2 ? 2.0f : 0.5f;
        break;
      case 3:
        value = -value;
        break;
      case 4:
        value = widen_bf16(cuda::high_of(bits_of_float(value)));
        break;
      default:
        value += value * bell(random);
    }
  }
  return row;
}

void climb_from_everywhere() {
  Closest closest = {"climbing"};
  Random random(11);
  for (const Metric metric : kMetrics)
    for (const Pass& pass : kPasses)
      for (const size_t dim : {1, 2, 3, 7, 16, 33, 100})
        for (const Start kind : kStarts) {
          Pair best = start(kind, dim, random);
          Wide best_reached = 0;
          for (int step = 0; step < 400; ++step) {
            const Pair next = {mutant(best.query, random), mutant(best.key, random)};
            const Wide next_reached = reached(metric, pass, next.query, next.key);
            if (next_reached < best_reached) continue;
            best_reached = next_reached;
            best = next;
          }
          closest.meet(metric, pass, best.query, best.key);
        }
}

// ---- Rows built to reach the bound

// As far below a tie of bfloat16 as float32 tells.
constexpr float kRoundedDown = 1 + 0x1p-8f - 0x1p-23f;

// One side is exact in bfloat16, and all roundings of the other lie along it: Cauchy-Schwarz is an equation.
void align_roundings() {
  Closest of_key = {"roundings of a key along the query"}, of_query = {"roundings of a query along the key"};
  for (const Metric metric : kMetrics)
    for (const size_t dim : {1, 16, 64})
      for (const float query : {0x1p-28f, 1.0f, 0x1p55f})
        for (const float key : {0x1p-28f, 1.0f, 0x1p55f}) {
          of_key.meet(metric, kPasses[0], Row(dim, query), Row(dim, key * kRoundedDown));
          of_query.meet(metric, kPasses[0], Row(dim, query * kRoundedDown), Row(dim, key));
        }
}

// The first product is 1, all others come a little short of what a sum next to 1 can hold, and are lost.
Pair with_lost_products(size_t dim, float first) {
  Pair pair = {Row(dim, 0x1p-12f), Row(dim, 0x1p-12f * (2 - 0x1p-7f))};
  pair.query[0] = pair.key[0] = first;
  return pair;
}

void lose_products() {
  Closest closest = {"lost products"};
  for (const Metric metric : kMetrics)
    for (const Pass& pass : kPasses)
      for (const size_t dim : {64, 768, 4096})
        for (const float scale : {0x1p-29f, 1.0f, 0x1p59f}) {
          Pair pair = with_lost_products(dim, 1);
          for (float& value : pair.query) value *= scale;
          closest.meet(metric, pass, pair.query, pair.key);
          for (float& value : pair.query) value = -value;
          closest.meet(metric, pass, pair.query, pair.key);
        }
}

// What two bfloat16 leave of an element is the most that it can be of what one leaves, of the query, the key
// or both; products are lost besides.
void align_finer_roundings() {
  Closest of_key = {"finer: roundings of a key along the query"},
          of_query = {"finer: roundings of a query along the key"}, of_both = {"finer: roundings of both"};
  constexpr float left = 1 + 0x1p-9f + 0x1p-17f - 0x1p-23f;
  for (const Pass& pass : kPasses) {
    if (!pass.finer) continue;
    Pair pair = with_lost_products(64, 1);
    pair.key[0] = left;
    of_key.meet(Metric::inner_product, pass, pair.query, pair.key);
    of_query.meet(Metric::inner_product, pass, pair.key, pair.query);
    pair.query[0] = left;
    of_both.meet(Metric::inner_product, pass, pair.query, pair.key);
  }
}

// Where one of two vectors is zero, only the roundings of its squared norm and of the distance are left.
void leave_one_side() {
  Closest zero_keys = {"l2 of zero keys"}, zero_queries = {"l2 of zero queries"};
  Random random(5);
  for (int i = 0; i < 20000; ++i) {
    const Row zero(3), row = {bell(random), bell(random), bell(random)};
    zero_keys.meet(Metric::l2, kPasses[0], row, zero);
    zero_queries.meet(Metric::l2, kPasses[0], zero, row);
  }
}

// ---- Ceilings

// The largest float32 that is no larger.
float float_below(Wide value) {
  const float nearest = float(value);
  return nearest <= value ? nearest : std::nextafter(nearest, -kInf);
}

// What the scan concludes from ends of an interval that holds the score is true of the score.
void compare_ceilings() {
  Random random(3);
  for (const Metric metric : kMetrics)
    for (int i = 0; i < 20000; ++i) {
      const Row query = scaled_to({bell(random), bell(random)}, std::pow(2.0, uniform(random, -30, 20)));
      const float magnitude =
          random() % 4 ? std::pow(2.0f, uniform(random, -20, 20)) : 0x1p-149f * float(random() % 4);
      const float ceiling = metric != Metric::l2 && random() % 2 ? -magnitude : magnitude;
      const cuda::QueryFacts facts = cuda::query_facts(metric, 2, Split(query).norms, ceiling);
      const Wide square = dot(query, query);
      for (const float score : {std::nextafter(ceiling, -kInf), ceiling, std::nextafter(ceiling, kInf)}) {
        const bool beats = metric == Metric::l2 ? score < ceiling : score > ceiling;
        const Wide t = metric == Metric::cosine ? std::sqrt(square) * score
                       : metric == Metric::l2   ? (square - score) / 2
                                                : Wide(score);
        // An upper end is at least t; a lower end is at most t, and a float32.
        expect(beats ? t > facts.ceiling_low : float_below(t) <= facts.ceiling_high,
               std::string("ceilings: ") + kMetricNames[int(metric)] + ", a score " +
                   (beats ? "that beats one seems not to" : "that beats none seems to"));
      }
    }
}

}  // namespace

int main() {
  climb_from_everywhere();
  align_roundings();
  lose_products();
  align_finer_roundings();
  leave_one_side();
  compare_ceilings();
  return failures != 0;
}
