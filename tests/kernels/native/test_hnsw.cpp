// Graphs: row sums against their definition, and adding and searching in threads, for every instruction set.
#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/canonical.h"
#include "kernels/cpu/hnsw.h"
#include "kernels/cpu/row_sums.h"
#include "sets.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

float row_sum(Term term, const float* a, const float* b, int64_t dim) {
  float lanes[kRowLanes] = {};
  for (int64_t d = 0; d < dim; ++d) {
    const float difference = a[d] - b[d];
    const float product = term == Term::product ? a[d] * b[d] : difference * difference;
    lanes[d % kRowLanes] += product;
  }
  for (int half = kRowLanes / 2; half; half /= 2)
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  return lanes[0];
}

void check_row_sums(int64_t dim, Family family, uint64_t seed) {
  Random random(seed);
  Vectors query(1, dim, DType::f32), rows(11, dim, DType::f32, 1);
  fill(query, family, random);
  fill(rows, family, random);
  const float* pointers[11];
  for (int64_t r = 0; r < 11; ++r)
    pointers[r] = static_cast<const float*>(rows.view().data) + r * rows.view().row_stride;
  for_each_set([&](const Primitives& isa) {
    for (const Term term : {Term::product, Term::squared_difference})
      for (int64_t count = 0; count <= 11; ++count) {
        ExactArray<float> sums{size_t(count)};
        row_sums()(term, query.row(0), pointers, count, dim, sums.data());
        for (int64_t r = 0; r < count; ++r) {
          const float want = row_sum(term, query.row(0), rows.row(r), dim);
          expect(same_bits(sums[size_t(r)], want), "row_sums, ", isa.name, ", ", kFamilyNames[int(family)],
                 ", dim ", dim, ", row ", r, " of ", count, ": ", sums[size_t(r)], ", wanted ", want);
        }
      }
  });
}

// A graph of three levels with M = 8, built from `vectors`.
struct Built {
  std::vector<int32_t> levels, neighbors;
  std::vector<int64_t> offsets{0};
  cpu::HnswGraph graph;

  Built(const Vectors& vectors, Metric metric, const Parallel& parallel) {
    static constexpr int32_t kLevelStarts[] = {0, 16, 24, 32};
    for (int64_t i = 0; i < vectors.rows(); ++i) {
      levels.push_back(i % 9 ? 1 : i % 54 ? 2 : 3);
      offsets.push_back(offsets.back() + kLevelStarts[levels.back()]);
    }
    neighbors.assign(size_t(offsets.back()), -1);
    graph = {vectors.row(0),
             vectors.rows(),
             vectors.dim(),
             metric,
             offsets.data(),
             kLevelStarts,
             3,
             neighbors.data(),
             -1,
             -1};
    // Half of them at once, the others behind.
    for (const int64_t last : {vectors.rows() / 2, vectors.rows()}) {
      const int64_t first = last == vectors.rows() ? vectors.rows() / 2 : 0;
      graph.count = last;
      const cpu::HnswEntry entry =
          cpu::hnsw_add({graph, first, levels.data(), nullptr, neighbors.data(), 20, 0.2f, false}, parallel);
      graph.entry_point = entry.point;
      graph.max_level = entry.max_level;
    }
  }
};

// Lists name other vectors that are on their level, each once.
void check_lists(const Built& built, const char* isa) {
  const cpu::HnswGraph& graph = built.graph;
  for (int64_t i = 0; i < graph.count; ++i)
    for (int32_t level = 0; level < built.levels[size_t(i)]; ++level) {
      const int32_t* list = graph.neighbors + graph.offsets[i] + graph.level_starts[level];
      const int32_t room = graph.level_starts[level + 1] - graph.level_starts[level];
      const int64_t length = std::find(list, list + room, -1) - list;
      for (int64_t j = 0; j < length; ++j)
        expect(list[j] >= 0 && list[j] < graph.count && list[j] != i &&
                   built.levels[size_t(list[j])] > level && std::find(list, list + j, list[j]) == list + j,
               "hnsw_add, ", isa, ": vector ", i, " has the neighbour ", list[j], " on level ", level);
    }
}

void check_graph(int64_t count, int64_t dim, Metric metric, Family family, uint64_t seed) {
  Random random(seed);
  Vectors vectors(count, dim, DType::f32), queries(9, dim, DType::f32, 1);
  fill(vectors, family, random);
  fill(queries, family, random);
  std::vector<int32_t> expected;
  std::vector<int64_t> expected_ids;
  for_each_set([&](const Primitives& isa) {
    for (const Parallel& parallel : {threads<1>(), threads<3>()}) {
      const Built built(vectors, metric, parallel);
      if (expected.empty()) expected = built.neighbors;
      expect(built.neighbors == expected, "hnsw_add, ", isa.name, ", ", kFamilyNames[int(family)], ", ",
             parallel.num_threads, " threads: another graph of ", count, " x ", dim);
      check_lists(built, isa.name);
      constexpr int64_t k = 7;
      ExactArray<float> scores(size_t(queries.rows() * k));
      ExactArray<int64_t> ids(scores.size());
      const cpu::HnswWalk walk{12};
      cpu::hnsw_search(built.graph, queries.view(), walk, k, scores.data(), ids.data(), parallel);
      const std::vector<int64_t> found(ids.data(), ids.data() + ids.size());
      if (expected_ids.empty()) expected_ids = found;
      expect(found == expected_ids, "hnsw_search, ", isa.name, ": other ids");
      for (size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] < 0) continue;
        if (i % k)
          expect(ranks_before(rank_value(metric, scores[i - 1]), ids[i - 1], rank_value(metric, scores[i]),
                              ids[i]),
                 "hnsw_search, ", isa.name, ": key ", ids[i], " comes behind ", ids[i - 1]);
        const float want = canonical_score(metric, queries.row(int64_t(i) / k), vectors.row(ids[i]), dim);
        expect(same_bits(scores[i], want), "hnsw_search, ", isa.name, ": score ", scores[i], ", wanted ",
               want);
      }
      for (int64_t q = 0; q < queries.rows(); ++q) {
        const Rows all = queries.view();
        const Rows one{static_cast<const float*>(all.data) + q * all.row_stride, 1, dim, all.row_stride,
                       DType::f32};
        float alone_scores[k];
        int64_t alone[k];
        cpu::hnsw_search(built.graph, one, walk, k, alone_scores, alone, parallel);
        expect(std::equal(alone, alone + k, ids.data() + q * k), "hnsw_search, ", isa.name, ": query ", q,
               " finds something else alone");
      }
      const cpu::HnswFound range = cpu::hnsw_range_search(built.graph, queries.view(), walk, 1.0f, parallel);
      expect(range.lims.size() == 10 && range.counts.searches == (count ? 9 : 0), "hnsw_range_search, ",
             isa.name, ": ", range.counts.searches, " searches");
    }
  });
}

// Graphs as damaged files have them are searched and added to within the bounds of their tables.
void check_damaged(const char* isa) {
  constexpr int64_t kCount = 60, kDim = 5;
  Random random(17);
  Vectors vectors(kCount, kDim, DType::f32), queries(3, kDim, DType::f32);
  fill(vectors, kFamilies[0], random);
  fill(queries, kFamilies[0], random);
  const auto search = [&](const cpu::HnswGraph& graph) {
    float scores[3 * 4];
    int64_t ids[3 * 4];
    cpu::hnsw_search(graph, queries.view(), {8}, 4, scores, ids, threads<2>());
    for (const int64_t id : ids) expect(id >= -1 && id < kCount, "hnsw_search, ", isa, ": id ", id);
  };
  {
    Built built(vectors, Metric::l2, threads<1>());
    for (int32_t& neighbor : built.neighbors) neighbor = int32_t(random() % (kCount + 4)) - 2;
    search(built.graph);
    for (int64_t i = 0; i < kCount; i += 2) built.offsets[size_t(i)] = int64_t(random()) >> random() % 64;
    search(built.graph);
    // A level of which no vector is.
    const int32_t level_starts[] = {0, 16, 24, 32, 0x7fffffff};
    built.graph.level_starts = level_starts;
    built.graph.num_levels = 4;
    search(built.graph);
  }
  // Of two new vectors one is on all levels, the highest of which has no room, and old lists of all levels
  // name the other. Each in turn is the last of the table.
  for (const int64_t high : {kCount - 2, kCount - 1}) {
    const int32_t level_starts[] = {0, 16, 24, 24};
    std::vector<int32_t> levels(kCount, 1);
    levels[0] = levels[size_t(high)] = 3;
    std::vector<int64_t> offsets{0};
    for (const int32_t level : levels) offsets.push_back(offsets.back() + level_starts[level]);
    ExactArray<int32_t> neighbors(size_t(offsets.back()));
    std::fill_n(neighbors.data(), neighbors.size(), 0x7fffffff);
    std::fill_n(neighbors.data(), offsets[kCount - 2], int32_t(2 * kCount - 3 - high));
    for (int64_t i = 0; i < kCount - 2; ++i) neighbors[size_t(offsets[size_t(i)] + 5)] = -2;
    const cpu::HnswGraph graph{vectors.row(0),   kCount, kDim, Metric::l2, offsets.data(), level_starts, 3,
                               neighbors.data(), 0,      2};
    cpu::hnsw_add({graph, kCount - 2, levels.data(), nullptr, neighbors.data(), INT64_MAX, 0.2f, false},
                  threads<2>());
    search(graph);
  }
}

}  // namespace

void test_hnsw() {
  uint64_t seed = 0;
  for (const Family family : kFamilies)
    for (const int64_t dim : {0, 1, 15, 16, 17, 64, 100}) check_row_sums(dim, family, ++seed);
  for (const Metric metric : {Metric::inner_product, Metric::l2})
    for (const Family family : kFamilies) check_graph(400, 19, metric, family, ++seed);
  for_each_set([](const Primitives& isa) { check_damaged(isa.name); });
  for (const int64_t count : {0, 1, 2, 33}) check_graph(count, 5, Metric::l2, kFamilies[0], ++seed);
}

}  // namespace fastret::test
