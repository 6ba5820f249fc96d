// pair_scores against its definition, for every instruction set.
#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/cpu/kernels.h"
#include "sets.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

struct Case {
  int64_t num_queries, num_keys, dim, num_pairs;
  Metric metric;
  Family family;
  DType query_dtype, key_dtype;
};

void check(const Case& c, uint64_t seed) {
  Random random(seed);
  Vectors queries(c.num_queries, c.dim, c.query_dtype, 1), keys(c.num_keys, c.dim, c.key_dtype, 2);
  fill(queries, c.family, random);
  fill(keys, c.family, random);
  const int64_t none[] = {-1, c.num_keys, INT64_MIN, INT64_MAX};
  ExactArray<int64_t> ids(size_t(c.num_queries * c.num_pairs));
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = c.num_keys && random() % 3 ? int64_t(random() % uint64_t(c.num_keys)) : none[random() % 4];
  for_each_set([&](const Primitives& isa) {
    ExactArray<float> scores(ids.size());
    cpu::pair_scores({queries.view(), keys.view(), ids.data(), c.num_pairs, c.metric, scores.data()},
                     threads<2>());
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool exists = ids[i] >= 0 && ids[i] < c.num_keys;
      const float want =
          exists ? canonical_score(c.metric, queries.row(int64_t(i) / c.num_pairs), keys.row(ids[i]), c.dim)
                 : kNan;
      expect(same_bits(scores[i], want), "pair_scores, ", isa.name, ", ", kMetricNames[int(c.metric)], ", ",
             kFamilyNames[int(c.family)], ", pair ", i, " with key ", ids[i], ": ", scores[i], ", wanted ",
             want);
    }
  });
}

}  // namespace

void test_pair_scores() {
  uint64_t seed = 0;
  const int64_t shapes[][4] = {{0, 5, 4, 2},  {5, 0, 4, 2},   {3, 6, 0, 3},    {3, 6, 7, 0},
                               {7, 33, 9, 1}, {9, 70, 33, 5}, {4, 30, 257, 11}};
  for (const auto& [num_queries, num_keys, dim, num_pairs] : shapes)
    for (const Metric metric : kMetrics)
      for (const Family family : kFamilies) {
        ++seed;
        check(
            {num_queries, num_keys, dim, num_pairs, metric, family, kDTypes[seed % 3], kDTypes[seed / 3 % 3]},
            seed);
      }
}

}  // namespace fastret::test
