// search and its bookkeeping against brute force, for every instruction set.
#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/cpu/candidates.h"
#include "kernels/cpu/kernels.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

struct Case {
  int64_t num_queries, num_keys, dim, k;
  Metric metric;
  Family family;
  DType query_dtype, key_dtype;
};

void check(const Case& c, std::initializer_list<Parallel> parallels, uint64_t seed) {
  Random random(seed);
  Vectors queries(c.num_queries, c.dim, c.query_dtype, 3), keys(c.num_keys, c.dim, c.key_dtype, seed % 2);
  fill(keys, c.family, random);
  fill(queries, c.family, random);

  std::vector<float> want_scores;
  std::vector<int64_t> want_ids;
  std::vector<float> row(size_t(c.num_keys));
  for (int64_t q = 0; q < c.num_queries; ++q) {
    for (int64_t x = 0; x < c.num_keys; ++x)
      row[size_t(x)] = canonical_score(c.metric, queries.row(q), keys.row(x), c.dim);
    for (const int64_t id : select_k(row, c.k, c.metric != Metric::l2)) {
      want_ids.push_back(id);
      want_scores.push_back(id >= 0 ? row[size_t(id)] : c.metric == Metric::l2 ? kInf : -kInf);
    }
  }

  for (const char* const* isa = available_isas(); *isa; ++isa)
    for (const Parallel& parallel : parallels) {
      use_isa(*isa);
      ExactArray<float> scores{want_scores.size()};
      ExactArray<int64_t> ids{want_ids.size()};
      cpu::search({queries.view(), keys.view(), c.metric, c.k, scores.data(), ids.data()}, parallel);
      for (size_t i = 0; i < want_ids.size(); ++i)
        if (!expect(ids[i] == want_ids[i] && same_bits(scores[i], want_scores[i]), "search, ", *isa, ", ",
                    parallel.num_threads, " threads, ", kMetricNames[int(c.metric)], ", ",
                    kFamilyNames[int(c.family)], ", Q ", c.num_queries, ", N ", c.num_keys, ", D ", c.dim,
                    ", k ", c.k, ", ", kDTypeNames[int(c.query_dtype)], " x ", kDTypeNames[int(c.key_dtype)],
                    ": query ", i / size_t(c.k), ", place ", i % size_t(c.k), ": id ", ids[i], " score ",
                    scores[i], ", wanted ", want_ids[i], " and ", want_scores[i]))
          break;
    }
}

void candidates_keep_what_may_still_win() {
  cpu::Candidates candidates(2);
  std::vector<float> lowers;
  for (int64_t id = 0; id < 10; ++id) candidates.push({float(id) + 0.5f, float(id) - 0.5f, id});
  candidates.tighten(lowers);
  expect(candidates.threshold() == 7.5f, "threshold ", candidates.threshold());
  // An upper end that equals the threshold stays: the scores could be equal, and then the id decides.
  expect(candidates.items().size() == 3, candidates.items().size(), " candidates stay");
  cpu::Candidates other(2);
  other.push({9.0f, 8.0f, 10});
  candidates.merge(other);
  candidates.tighten(lowers);
  expect(candidates.items().size() == 3 && candidates.threshold() == 8.0f, "merged");
}

void candidates_overflow() {
  cpu::Candidates candidates(1), other(1);
  std::vector<float> lowers;
  for (size_t id = 0; id <= candidates.limit(); ++id) candidates.push({1.0f, -1.0f, int64_t(id)});
  candidates.tighten(lowers);
  expect(candidates.overflowed() && candidates.items().empty(), "too many candidates overflow");
  expect(candidates.threshold() == kInf, "an overflowed query lets nothing through");
  other.merge(candidates);
  expect(other.overflowed(), "overflow survives a merge");
}

void exact_best_orders_ties_by_id() {
  cpu::ExactBest best(3), later(3);
  for (int64_t id = 0; id < 500; ++id) best.push(float(id % 2), id);
  for (int64_t id = 500; id < 1000; ++id) later.push(id == 777 ? 2.0f : 1.0f, id);
  best.push(kNan, 1000);
  best.merge(later);
  const auto& sorted = best.sorted();
  expect(sorted.size() == 3 && sorted[0].id == 777 && sorted[1].id == 1 && sorted[2].id == 3, "ties by id");
}

}  // namespace

void test_search() {
  candidates_keep_what_may_still_win();
  candidates_overflow();
  exact_best_orders_ties_by_id();
  uint64_t seed = 0;
  const auto all = [&](int64_t num_queries, int64_t num_keys, int64_t dim, int64_t k) {
    for (const Metric metric : kMetrics)
      for (const Family family : kFamilies) {
        // Over the families and shapes every pair of dtypes comes up.
        ++seed;
        check({num_queries, num_keys, dim, k, metric, family, kDTypes[seed % 3], kDTypes[seed / 3 % 3]},
              {threads<1>()}, seed);
        check({num_queries, num_keys, dim, k, metric, family, DType::f32, DType::f32}, {threads<1>()}, seed);
      }
  };
  for (const int64_t dim : {0, 1, 7, 8, 9, 15, 16, 17, 33, 130}) all(5, 70, dim, 4);
  for (const int64_t num_queries : {0, 1, 2, 3, 4, 6, 7, 13, 14, 15, 29}) all(num_queries, 50, 12, 5);
  for (const int64_t num_keys : {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 400}) all(6, num_keys, 10, 6);
  for (const int64_t k : {0, 1, 40, 99, 100, 103}) all(5, 100, 6, k);
  for (const Metric metric : kMetrics)  // more survivors than are kept
    check({5, 5000, 3, 9, metric, Family::duplicates, DType::f32, DType::f32}, {threads<1>()}, 1);
}

void test_search_in_threads() {
  for (const Metric metric : kMetrics)
    for (const Family family : {Family::normal, Family::ties, Family::specials}) {
      const auto parallels = {threads<2>(), threads<3>()};
      check({2, 500, 9, 5, metric, family, DType::f32, DType::f16}, parallels, 3);
      check({33, 200, 9, 5, metric, family, DType::bf16, DType::f32}, parallels, 4);
      check({5, 3 * 4096 + 5, 4, 20, metric, family, DType::f32, DType::f32}, parallels,
            5);  // keys are split
    }
  check({5, 3 * 4200, 2, 7, Metric::l2, Family::duplicates, DType::f32, DType::f32}, {threads<3>()}, 6);
}

}  // namespace fastret::test
