// search against brute force: every instruction set, every first pass, keys packed before and while
// searching.
#include "expect.h"
#include "groups.h"
#include "packed_keys.h"
#include "sets.h"
#include "threads.h"
#include "work.h"

namespace fastret::test {
namespace {

constexpr FirstPass kPasses[] = {FirstPass::float32, FirstPass::int16, FirstPass::int8};
constexpr int kCheapest = -1;

// What search shall find.
struct Best {
  std::vector<float> scores;  // [Q, K]
  std::vector<int64_t> ids;

  Best(const Work& work, int64_t k) {
    const bool largest = work.shape.metric != Metric::l2;
    for (size_t q = 0; q < work.scores.size(); ++q) {
      std::vector<float> row = work.scores[q];
      if (!work.ceilings.empty())
        for (float& score : row)
          if (largest ? score > work.ceilings[q] : score < work.ceilings[q]) score = kNan;
      for (const int64_t id : select_k(row, k, largest)) {
        ids.push_back(id);
        scores.push_back(id >= 0 ? row[size_t(id)] : largest ? -kInf : kInf);
      }
    }
  }
};

void searches(const Work& work, int64_t k, const Best& want, int first_pass, const PackedKeys* packed,
              const Parallel& parallel) {
  ExactArray<float> scores{want.scores.size()};
  ExactArray<int64_t> ids{want.ids.size()}, rescored{size_t(work.shape.num_queries)},
      passes{size_t(work.shape.num_queries)};
  SearchParams params{work.queries.view(), work.keys.view(), work.shape.metric, k, scores.data(), ids.data()};
  params.filter = work.filter();
  if (!work.ceilings.empty()) params.ceilings = work.ceilings.data();
  params.packed = packed;
  params.first_pass = first_pass;
  params.rescored = rescored.data();
  params.passes = passes.data();
  cpu::search(params, parallel);
  for (size_t i = 0; i < want.ids.size(); ++i)
    if (!expect(ids[i] == want.ids[i] && same_bits(scores[i], want.scores[i]), "search, ", primitives().name,
                ", ", parallel.num_threads, " threads, pass ", packed ? int(packed->first_pass) : first_pass,
                packed ? " packed" : "", ", ", work.shape, ", k ", k, ": query ", i / size_t(k), ", place ",
                i % size_t(k), ": id ", ids[i], " score ", scores[i], ", wanted ", want.ids[i], " and ",
                want.scores[i]))
      return;
  for (size_t q = 0; q < passes.size(); ++q)
    expect(passes[q] >= kNoFirstPass && passes[q] <= int64_t(FirstPass::int8) && rescored[q] >= 0 &&
               rescored[q] <= work.shape.num_keys,
           "search reports pass ", passes[q], " and ", rescored[q], " rescored, ", work.shape);
}

void check(const Shape& shape, int64_t k, std::initializer_list<Parallel> parallels, uint64_t seed) {
  const Work work(shape, seed);
  const Best want(work, k);
  for_each_set([&](const Primitives&) {
    for (const Parallel& parallel : parallels) {
      for (int first_pass = kCheapest; first_pass <= int(FirstPass::int8); ++first_pass)
        searches(work, k, want, first_pass, nullptr, parallel);
      if (shape.num_keys > 0)
        for (const FirstPass pass : kPasses) {
          const Packed packed(work.keys.view(), shape.metric, pass);
          const PackedKeys view = packed.view();
          searches(work, k, want, kCheapest, &view, parallel);
        }
      if (shape.num_keys > 0 && shape.dim > 16) {
        const Packed packed(work.keys.view(), shape.metric, FirstPass::int8, shape.dim > 40 ? 32 : 16);
        const PackedKeys view = packed.view();
        searches(work, k, want, kCheapest, &view, parallel);
      }
    }
  });
}

// Panels are part of a file format: what one set packs, another searches.
void keys_packed_by_one_set_are_searched_by_another() {
  for (const Metric metric : kMetrics) {
    const Work work({7, 500, 70, metric, Family::offset}, 1);
    const Best want(work, 5);
    for (const FirstPass pass : kPasses)
      for_each_set([&](const Primitives& packing) {
        const Packed packed(work.keys.view(), metric, pass);
        const PackedKeys view = packed.view();
        for_each_set([&](const Primitives&) { searches(work, 5, want, kCheapest, &view, threads<1>()); });
        use_isa(packing.name);
      });
  }
}

void packing_again_from_a_panel_on_changes_nothing() {
  const Work work({1, 333, 37, Metric::cosine, Family::specials}, 2);
  for (const FirstPass pass : kPasses)
    for_each_set([&](const Primitives& isa) {
      Packed once(work.keys.view(), Metric::cosine, pass), again(work.keys.view(), Metric::cosine, pass);
      const size_t kept_panels = again.panels().size() / 11 * 4, kept_facts = again.facts().size() / 11 * 4;
      for (size_t i = kept_panels; i < again.panels().size(); ++i) again.panels()[i] = -1;
      for (size_t i = kept_facts; i < again.facts().size(); ++i) again.facts()[i] = kNan;
      again.pack(work.keys.view(), Metric::cosine, 4);
      expect(std::equal(once.panels().data(), once.panels().data() + once.panels().size(),
                        again.panels().data()) &&
                 std::equal(once.facts().data(), once.facts().data() + once.facts().size(),
                            again.facts().data()),
             isa.name, " packs panels 4 to 11 alone, pass ", int(pass));
    });
}

}  // namespace

void test_search() {
  uint64_t seed = 0;
  const auto all = [&](int64_t num_queries, int64_t num_keys, int64_t dim, int64_t k) {
    for (const Metric metric : kMetrics)
      for (const Family family : kFamilies) {
        // Over the families and shapes every pair of dtypes comes up.
        ++seed;
        check({num_queries, num_keys, dim, metric, family, kDTypes[seed % 3], kDTypes[seed / 3 % 3]}, k,
              {threads<1>()}, seed);
        if (num_keys > 0 && seed % 2)
          check({num_queries, num_keys, dim, metric, family, DType::f32, DType::f32, true}, k, {threads<1>()},
                seed);
      }
  };
  for (const int64_t dim : {0, 1, 7, 8, 9, 15, 16, 17, 33, 64, 130, 300}) all(5, 70, dim, 4);
  for (const int64_t num_queries : {0, 1, 2, 3, 4, 6, 7, 13, 14, 15, 29}) all(num_queries, 50, 12, 5);
  for (const int64_t num_keys : {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 400}) all(6, num_keys, 10, 6);
  for (const int64_t k : {0, 1, 24, 25, 40, 99, 100, 103}) all(5, 100, 6, k);
  for (const Metric metric : kMetrics) {
    // More survivors than are kept, and enough keys for a sample to start the thresholds from.
    check({5, 5000, 3, metric, Family::duplicates}, 9, {threads<1>()}, 1);
    check({5, 20000, 4, metric, Family::ascending}, 9, {threads<1>()}, 2);
    check({5, 20000, 4, metric, Family::normal, DType::f32, DType::f32, true}, 9, {threads<1>()}, 3);
  }
  // So few queries meet the heads of principal axes first.
  for (const Metric metric : kMetrics)
    for (const int64_t num_queries : {1, 3, 4})
      check({num_queries, 2000, 45, metric, Family::normal, DType::f32, DType::f32, num_queries == 3}, 5,
            {threads<1>(), threads<2>()}, uint64_t(num_queries));
  // The best keys are all in the sample that thresholds start from.
  check({5, 20000, 4, Metric::inner_product, Family::panels}, 40, {threads<1>()}, 4);
  keys_packed_by_one_set_are_searched_by_another();
  packing_again_from_a_panel_on_changes_nothing();
}

void test_search_in_threads() {
  for (const Metric metric : kMetrics)
    for (const Family family : {Family::normal, Family::ties, Family::specials}) {
      const auto parallels = {threads<2>(), threads<3>()};
      check({2, 500, 9, metric, family, DType::f32, DType::f16}, 5, parallels, 3);
      check({33, 200, 9, metric, family, DType::bf16, DType::f32}, 5, parallels, 4);
      check({5, 3 * 4096 + 5, 4, metric, family, DType::f32, DType::f32, true}, 20, parallels,
            5);  // keys are split
    }
  check({5, 3 * 4200, 2, Metric::l2, Family::duplicates}, 7, {threads<3>()}, 6);
  // More queries than are answered at once.
  check({4100, 40, 3, Metric::cosine, Family::normal, DType::f32, DType::f32, true}, 2, {threads<2>()}, 8);

  // Several threads search one set of packed keys, each with threads of its own.
  const Work work({9, 900, 33, Metric::cosine, Family::normal, DType::f32, DType::f32, true}, 7);
  const Best want(work, 6);
  for_each_set([&](const Primitives&) {
    for (const FirstPass pass : kPasses) {
      const Packed packed(work.keys.view(), work.shape.metric, pass);
      const PackedKeys view = packed.view();
      std::vector<std::thread> callers;
      for (int caller = 0; caller < 3; ++caller)
        callers.emplace_back([&] { searches(work, 6, want, kCheapest, &view, threads<2>()); });
      for (std::thread& caller : callers) caller.join();
    }
  });
}

}  // namespace fastret::test
