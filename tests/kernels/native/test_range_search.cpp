// range_search against brute force: every instruction set, every first pass, keys packed before and while
// searching.
#include "expect.h"
#include "groups.h"
#include "packed_keys.h"
#include "sets.h"
#include "threads.h"
#include "work.h"

namespace fastret::test {
namespace {

void searches(const Work& work, float threshold, int first_pass, const PackedKeys* packed,
              const Parallel& parallel) {
  RangeSearchParams params{work.queries.view(), work.keys.view(), work.shape.metric, threshold};
  params.filter = work.filter();
  params.packed = packed;
  params.first_pass = first_pass;
  const cpu::RangeFound found = cpu::range_search(params, parallel);
  size_t at = 0;
  bool equal = found.lims.size() == size_t(work.shape.num_queries + 1) && found.lims[0] == 0 &&
               found.ids.size() == found.scores.size();
  for (size_t q = 0; equal && q < work.scores.size(); ++q) {
    for (size_t key = 0; equal && key < work.scores[q].size(); ++key) {
      const float score = work.scores[q][key];
      // Strictly: a score that equals the threshold is not found, nor is NaN.
      if (!(work.shape.metric == Metric::l2 ? score < threshold : score > threshold)) continue;
      equal = at < found.ids.size() && found.ids[at] == int64_t(key) && same_bits(found.scores[at], score);
      ++at;
    }
    equal = equal && found.lims[q + 1] == int64_t(at);
  }
  expect(equal && at == found.ids.size(), "range_search, ", primitives().name, ", ", parallel.num_threads,
         " threads, pass ", packed ? int(packed->first_pass) : first_pass, packed ? " packed" : "", ", ",
         work.shape, ", threshold ", threshold, ": ", found.ids.size(), " found, differs at ", at);
}

void check(const Shape& shape, const Parallel& parallel, uint64_t seed) {
  const Work work(shape, seed);
  std::vector<float> thresholds = {kInf, -kInf, 0};
  if (shape.num_queries > 0 && shape.num_keys > 0)  // scores that are there
    thresholds.insert(thresholds.end(), {work.scores[0][size_t(shape.num_keys / 2)], work.scores[0].back()});
  for_each_set([&](const Primitives&) {
    for (int first_pass = -1; first_pass <= int(FirstPass::int8); ++first_pass)
      for (const float threshold : thresholds) searches(work, threshold, first_pass, nullptr, parallel);
    if (shape.num_keys == 0) return;
    for (const FirstPass pass : {FirstPass::float32, FirstPass::int16, FirstPass::int8}) {
      const Packed packed(work.keys.view(), shape.metric, pass);
      const PackedKeys view = packed.view();
      for (const float threshold : thresholds) searches(work, threshold, -1, &view, parallel);
    }
  });
}

}  // namespace

void test_range_search() {
  uint64_t seed = 0;
  const int64_t shapes[][3] = {{0, 5, 4},  {5, 0, 4},   {1, 1, 0},    {3, 6, 1},
                               {5, 33, 9}, {9, 70, 33}, {4, 150, 257}};
  for (const auto& [num_queries, num_keys, dim] : shapes)
    for (const Metric metric : kMetrics)
      for (const Family family : kFamilies) {
        const bool filtered = ++seed % 2 && num_keys > 0;
        check(
            {num_queries, num_keys, dim, metric, family, kDTypes[seed % 3], kDTypes[seed / 3 % 3], filtered},
            threads<1>(), seed);
      }
  for (const Metric metric : kMetrics)
    check({6, 5000, 5, metric, Family::normal, DType::f32, DType::f32, true}, threads<2>(), 1);
}

}  // namespace fastret::test
