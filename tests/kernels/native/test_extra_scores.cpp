// extra_scores against its definition, for every instruction set.
#include "expect.h"
#include "groups.h"
#include "kernels/cpu/extra_scores.h"
#include "kernels/isa.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

constexpr const char* kExtraMetricNames[kExtraMetrics] = {
    "l1", "linf", "canberra", "bray_curtis", "jaccard", "nan_euclidean", "gower"};

bool is_number(double x) {
  return x >= 0 && x <= 1;
}

float defined_score(ExtraMetric metric, const float* query, const float* key, int64_t dim) {
  double sum = 0, divisor = 0, largest = 0, squares = 0, unequal = 0;
  int64_t present = 0;
  bool applies = true;
  for (int64_t d = 0; d < dim; ++d) {
    const double q = query[d], x = key[d], difference = std::fabs(q - x);
    const bool both = !std::isnan(q) && !std::isnan(x);
    largest = std::fmax(largest, difference);
    present += both;
    if (metric == ExtraMetric::l1 || metric == ExtraMetric::bray_curtis) sum += difference;
    if (metric == ExtraMetric::bray_curtis) divisor += std::fabs(q + x);
    if (metric == ExtraMetric::canberra) sum += difference / (std::fabs(q) + std::fabs(x));
    if (metric == ExtraMetric::jaccard) sum += std::fmin(q, x), divisor += std::fmax(q, x);
    if (!std::isnan(difference)) squares += difference * difference;
    if (metric == ExtraMetric::gower && both) {
      if (is_number(q) && is_number(x))
        sum += difference;
      else if (q < 0 && x < 0)
        unequal += q != x;
      else
        applies = false;
    }
  }
  switch (metric) {
    case ExtraMetric::linf:
      return float(largest);
    case ExtraMetric::bray_curtis:
    case ExtraMetric::jaccard:
      return float(sum / divisor);
    case ExtraMetric::nan_euclidean:
      return float(squares * (double(dim) / double(present)));
    case ExtraMetric::gower:
      return applies ? float((sum + unequal) / double(present)) : kNan;
    default:
      return float(sum);
  }
}

void check(int64_t num_queries, int64_t num_keys, int64_t dim, Family family) {
  Random random(uint64_t(num_queries * 7 + num_keys * 5 + dim));
  Vectors queries(num_queries, dim, DType::f32, 1), keys(num_keys, dim, DType::f32, 2);
  for (const bool in_unit : {false, true}) {  // what Gower's metric is for
    for (Vectors* vectors : {&queries, &keys}) {
      fill(*vectors, family, random);
      for (int64_t r = 0; in_unit && r < vectors->rows(); ++r)
        for (int64_t d = 0; d < dim; ++d)
          vectors->set(r, d,
                       random() % 9 == 0 ? kNan
                       : d % 2           ? uniform(random, 0, 1)
                                         : -float(random() % 3 + 1));
    }
    for (int metric = 0; metric < kExtraMetrics; ++metric)
      for (const char* const* isa = available_isas(); *isa; ++isa) {
        use_isa(*isa);
        ExactArray<float> scores{size_t(num_queries * num_keys)};
        cpu::extra_scores({queries.view(), keys.view(), ExtraMetric(metric), scores.data()}, threads<2>());
        for (int64_t i = 0; i < num_queries * num_keys; ++i) {
          const int64_t q = i / num_keys, key = i % num_keys;
          const float want = defined_score(ExtraMetric(metric), queries.row(q), keys.row(key), dim);
          expect(same_bits(scores[size_t(i)], want), "extra_scores, ", *isa, ", ", kExtraMetricNames[metric],
                 ", Q ", num_queries, ", N ", num_keys, ", D ", dim, ", query ", q, ", key ", key, ": ",
                 scores[size_t(i)], ", wanted ", want);
        }
      }
  }
}

}  // namespace

void test_extra_scores() {
  for (const Family family : {Family::normal, Family::ties, Family::magnitudes, Family::specials})
    for (const int64_t dim : {0, 1, 4, 7, 37}) {
      check(1, 31, dim, family);
      check(5, 65, dim, family);
    }
  check(0, 5, 3, Family::normal);
  check(5, 0, 3, Family::normal);
  check(1025, 40, 3, Family::normal);
}

}  // namespace fastret::test
