// search_lists and range_search_lists against sorted canonical scores, for every instruction set.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/canonical.h"
#include "kernels/cpu/list_search.h"
#include "sets.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

struct Case {
  int64_t num_queries, num_rows, dim, num_lists, num_probes, k, max_rows;
  Metric metric;
  Family family;
  Codec codec;
};

struct Scored {
  float value;
  int64_t id, position;
};

bool before(const Scored& a, const Scored& b) {
  return ranks_before(a.value, a.id, b.value, b.id);
}

// Lists of uneven sizes with a place between them, the second one empty; ids in no order; some rows hidden.
class ListWork {
 public:
  ListWork(const Case& c, Random& random)
      : c_(c),
        queries_(c.num_queries, c.dim, DType::f32),
        codes_(size_t((c.num_rows + c.num_lists) * code_bytes(c.codec, c.dim))),
        ids_(size_t(c.num_rows + c.num_lists)),
        ranges_(size_t(2 * c.dim)),
        probes_(size_t(c.num_queries * c.num_probes)),
        allowed_(new bool[ids_.size()]) {
    fill(queries_, c.family, random);
    for (size_t i = 0; i < codes_.size(); ++i) codes_[i] = uint8_t(random());
    if (c.codec == Codec::float32) {
      Vectors rows(int64_t(ids_.size()), c.dim, DType::f32);
      fill(rows, c.family, random);
      std::copy_n(static_cast<const uint8_t*>(rows.view().data), codes_.size(), codes_.data());
    }
    for (size_t d = 0; d < ranges_.size(); ++d) ranges_[d] = bell(random);
    std::vector<int64_t> order(ids_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = int64_t(i) - 3;
    std::shuffle(order.begin(), order.end(), random);
    std::copy(order.begin(), order.end(), ids_.data());
    for (size_t i = 0; i < ids_.size(); ++i) allowed_[i] = random() % 4 > 0;
    sizes_.assign(size_t(c.num_lists), 0);
    for (int64_t i = 0; i < c.num_rows; ++i) {
      const size_t list = size_t(random() % uint64_t(c.num_lists)) * (random() % 2);
      ++sizes_[list == 1 ? 0 : list];
    }
    int64_t start = 0;
    for (const int64_t size : sizes_) {
      starts_.push_back(start);
      start += size + 1;
    }
    for (size_t i = 0; i < probes_.size(); ++i)
      probes_[i] = int64_t(random() % uint64_t(c.num_lists + 1)) - 1;
  }

  Rows queries() const { return queries_.view(); }
  Probes probes() const { return {probes_.data(), c_.num_probes, c_.max_rows}; }
  InvertedLists lists() const {
    return {codes_.data(), c_.codec,       c_.dim,        has_ranges(c_.codec) ? ranges_.data() : nullptr,
            ids_.data(),   starts_.data(), sizes_.data(), c_.num_lists,
            nullptr,       allowed_.get()};
  }

  // What query q may find, best first.
  std::vector<Scored> expected(int64_t q) const {
    std::vector<Scored> found;
    std::vector<float> row(size_t(c_.dim));
    int64_t left = c_.max_rows ? c_.max_rows : INT64_MAX;
    for (int64_t p = 0; p < c_.num_probes; ++p) {
      const int64_t list = probes_[size_t(q * c_.num_probes + p)];
      for (int64_t i = 0; list >= 0 && i < sizes_[size_t(list)] && left > 0; ++i, --left) {
        const int64_t at = starts_[size_t(list)] + i;
        if (!allowed_[size_t(at)]) continue;
        decode(at, row.data());
        const float score = canonical_score(c_.metric, queries_.row(q), row.data(), c_.dim);
        if (!std::isnan(score)) found.push_back({rank_value(c_.metric, score), ids_[size_t(at)], at});
      }
    }
    std::sort(found.begin(), found.end(), before);
    return found;
  }

 private:
  // As inverted_lists.h says.
  void decode(int64_t at, float* row) const {
    const uint8_t* code = codes_.data() + at * code_bytes(c_.codec, c_.dim);
    for (int64_t d = 0; d < c_.dim; ++d) {
      if (c_.codec == Codec::float32) {
        std::memcpy(row + d, code + d * int64_t(sizeof(float)), sizeof(float));
        continue;
      }
      const int level = c_.codec == Codec::bits8 ? code[d] : code[d / 2] >> (d % 2 * 4) & 15;
      const float share = (float(level) + 0.5f) / (c_.codec == Codec::bits8 ? 255.0f : 15.0f);
      row[d] = ranges_[size_t(d)] + share * ranges_[size_t(c_.dim + d)];
    }
  }

  Case c_;
  Vectors queries_;
  std::vector<uint8_t> codes_;  // aligned, so that float32 rows are read in place
  ExactArray<int64_t> ids_;
  ExactArray<float> ranges_;
  ExactArray<int64_t> probes_;
  std::unique_ptr<bool[]> allowed_;
  std::vector<int64_t> starts_, sizes_;
};

void check(const Case& c, uint64_t seed) {
  Random random(seed);
  const ListWork work(c, random);
  for_each_set([&](const Primitives& isa) {
    ExactArray<float> scores(size_t(c.num_queries * c.k));
    ExactArray<int64_t> positions(scores.size());
    cpu::search_lists(
        {work.queries(), work.lists(), work.probes(), c.metric, c.k, scores.data(), positions.data()},
        threads<2>());
    const cpu::RangeFound in_range =
        cpu::range_search_lists({work.queries(), work.lists(), work.probes(), c.metric, 0.5f}, threads<2>());
    const float threshold = rank_value(c.metric, 0.5f);
    for (int64_t q = 0; q < c.num_queries; ++q) {
      const std::vector<Scored> want = work.expected(q);
      const auto tell = [&](const char* op, int64_t place) {
        return std::string(op) + ", " + isa.name + ", " + kMetricNames[int(c.metric)] + ", " +
               kFamilyNames[int(c.family)] + ", query " + std::to_string(q) + ", place " +
               std::to_string(place);
      };
      for (int64_t j = 0; j < c.k; ++j) {
        const size_t at = size_t(q * c.k + j);
        const bool there = j < int64_t(want.size());
        const float score = rank_value(c.metric, there ? want[size_t(j)].value : -kInf) + 0.0f;
        expect(same_bits(scores[at], score) && positions[at] == (there ? want[size_t(j)].position : -1),
               tell("search_lists", j), ": ", scores[at], " at ", positions[at], ", wanted ", score);
      }
      const int64_t beyond =
          std::count_if(want.begin(), want.end(), [&](const Scored& s) { return s.value > threshold; });
      const int64_t found = in_range.lims[size_t(q + 1)] - in_range.lims[size_t(q)];
      expect(found == beyond, tell("range_search_lists", 0), ": ", found, " rows, wanted ", beyond);
    }
  });
}

}  // namespace

void test_list_search() {
  uint64_t seed = 0;
  const int64_t shapes[][7] = {{0, 5, 4, 2, 1, 3, 0},     {3, 0, 4, 2, 2, 2, 0},
                               {5, 40, 0, 3, 2, 4, 0},    {1, 90, 7, 3, 3, 5, 20},
                               {9, 200, 33, 5, 3, 12, 0}, {140, 150, 17, 4, 2, 3, 0},
                               {4, 700, 19, 3, 3, 30, 0}};
  for (const auto& [num_queries, num_rows, dim, num_lists, num_probes, k, max_rows] : shapes)
    for (const Metric metric : kMetrics)
      for (const Family family : kFamilies) {
        ++seed;
        const Codec codec = seed % 3 == 1 ? Codec::bits8 : seed % 3 == 2 ? Codec::bits4 : Codec::float32;
        check({num_queries, num_rows, dim, num_lists, num_probes, k, max_rows, metric, family, codec}, seed);
      }
}

}  // namespace fastret::test
