// pairwise_scores against its definition, for every instruction set.
#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/cpu/kernels.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

struct Case {
  int64_t num_queries, num_keys, dim;
  Metric metric;
  Family family;
  DType query_dtype, key_dtype, out_dtype;
};

void check(const Case& c, uint64_t seed) {
  Random random(seed);
  Vectors queries(c.num_queries, c.dim, c.query_dtype, 1), keys(c.num_keys, c.dim, c.key_dtype, 2);
  fill(queries, c.family, random);
  fill(keys, c.family, random);
  for (const char* const* isa = available_isas(); *isa; ++isa) {
    use_isa(*isa);
    const size_t pairs = size_t(c.num_queries * c.num_keys);
    ExactArray<float> wide(c.out_dtype == DType::f32 ? pairs : 0);
    ExactArray<uint16_t> half(c.out_dtype == DType::f32 ? 0 : pairs);
    void* scores = c.out_dtype == DType::f32 ? static_cast<void*>(wide.data()) : half.data();
    cpu::pairwise_scores({queries.view(), keys.view(), c.metric, scores, c.out_dtype}, threads<2>());
    for (int64_t q = 0; q < c.num_queries; ++q)
      for (int64_t x = 0; x < c.num_keys; ++x) {
        const size_t at = size_t(q * c.num_keys + x);
        float want = canonical_score(c.metric, queries.row(q), keys.row(x), c.dim), got;
        if (c.out_dtype == DType::f32) {
          got = wide[at];
        } else if (c.out_dtype == DType::bf16) {
          got = widen_bf16(half[at]);
          want = widen_bf16(round_to_bf16(want));
        } else {
          got = widen_f16(half[at]);
          want = widen_f16(round_to_f16(want));
        }
        expect(same_bits(got, want), "scores, ", *isa, ", ", kMetricNames[int(c.metric)], ", ",
               kFamilyNames[int(c.family)], ", Q ", c.num_queries, ", N ", c.num_keys, ", D ", c.dim, " to ",
               kDTypeNames[int(c.out_dtype)], ": query ", q, ", key ", x, ": ", got, ", wanted ", want);
      }
  }
}

}  // namespace

void test_pairwise_scores() {
  const int64_t shapes[][3] = {{0, 5, 4},  {5, 0, 4},  {1, 1, 0},    {3, 6, 1},
                               {2, 9, 15}, {9, 7, 33}, {2, 150, 513}};
  uint64_t seed = 0;
  for (const auto& shape : shapes)
    for (const Metric metric : kMetrics)
      for (const Family family : kFamilies)
        for (const DType out_dtype : kDTypes) {
          ++seed;
          check({shape[0], shape[1], shape[2], metric, family, kDTypes[seed % 3], kDTypes[seed / 3 % 3],
                 out_dtype},
                seed);
        }
}

}  // namespace fastret::test
