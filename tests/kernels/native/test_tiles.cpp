// Tiles of dot products and their filter on each instruction set, against plain arithmetic: integers exactly,
// floats within the rounding that the error bound allows.
#include <algorithm>
#include <numeric>

#include "expect.h"
#include "groups.h"
#include "kernels/isa.h"
#include "sets.h"
#include "vectors.h"

namespace fastret::test {
namespace {

constexpr int kMostQueries = kMaxTileQueries;

// The queries and keys of a tile with the dot products that it must give, of D dimensions padded with zeros.
struct Tile {
  int64_t steps;
  std::vector<int32_t> queries;  // [steps, kMostQueries]
  std::vector<int32_t> start;
  ExactArray<int32_t> panel;             // [steps, kPanelKeys]
  std::vector<double> dots, magnitudes;  // [kMostQueries, kPanelKeys]; magnitudes: of the absolute products
};

// Elements that integers of up to `levels` can hold; many are as large as they can be.
float element(FirstPass pass, float levels, Random& random) {
  if (pass == FirstPass::float32) return bell(random);
  if (random() % 2) return random() % 2 ? levels : -levels;
  return std::nearbyint(uniform(random, -levels, levels));
}

void store(FirstPass pass, float x, int shift, int64_t d, int32_t* row) {
  if (pass == FirstPass::float32) {
    std::memcpy(row + d, &x, sizeof x);
  } else if (pass == FirstPass::int16) {
    const int16_t n = int16_t(x);
    std::memcpy(reinterpret_cast<char*>(row) + 2 * d, &n, sizeof n);
  } else {
    const uint8_t n = uint8_t(int(x) + shift);
    std::memcpy(reinterpret_cast<char*>(row) + d, &n, sizeof n);
  }
}

Tile random_tile(FirstPass pass, int64_t dim, int query_levels, Random& random) {
  const int64_t steps = panel_steps(pass, dim), padded = steps * dims_per_step(pass);
  // Norms of int16 rows stay below sqrt(2^31), so that their sums do not overflow.
  const float int16_levels = std::min(32767.0f, std::floor(46340 / std::sqrt(float(dim))));
  const float levels[2] = {pass == FirstPass::int16 ? int16_levels : float(query_levels),
                           pass == FirstPass::int16 ? int16_levels : 127};
  constexpr int kRows = kMostQueries + kPanelKeys;
  std::vector<float> elements(size_t(kRows * padded), 0.0f);
  std::vector<int32_t> rows(size_t(kRows * steps), 0);
  Tile tile{steps, std::vector<int32_t>(size_t(kMostQueries * steps)),
            {},    ExactArray<int32_t>{size_t(kPanelKeys * steps)},
            {},    {}};
  for (int r = 0; r < kRows; ++r) {
    const bool key = r >= kMostQueries;
    int32_t sum = 0;
    for (int64_t d = 0; d < padded; ++d) {
      float& x = elements[size_t(r * padded + d)];
      if (d < dim) x = element(pass, levels[key], random);
      store(pass, x, key && pass == FirstPass::int8 ? 128 : 0, d, rows.data() + r * steps);
      sum += pass == FirstPass::int8 ? int32_t(x) : 0;
    }
    if (!key) tile.start.push_back(-128 * sum);
    for (int64_t s = 0; s < steps; ++s) {
      const int32_t four_bytes = rows[size_t(r * steps + s)];
      if (key)
        tile.panel[size_t(s * kPanelKeys + r - kMostQueries)] = four_bytes;
      else
        tile.queries[size_t(s * kMostQueries + r)] = four_bytes;
    }
  }
  for (int r = 0; r < kMostQueries; ++r)
    for (int i = 0; i < kPanelKeys; ++i) {
      const float* q = elements.data() + r * padded;
      const float* x = elements.data() + (kMostQueries + i) * padded;
      double dot = 0, magnitude = 0;
      for (int64_t d = 0; d < dim; ++d) {
        dot += double(q[d]) * x[d];
        magnitude += std::abs(double(q[d]) * x[d]);
      }
      tile.dots.push_back(dot);
      tile.magnitudes.push_back(magnitude);
    }
  return tile;
}

void multiplies(const Primitives& isa, FirstPass pass, int64_t dim, const Tile& tile, int num_queries) {
  ExactArray<int32_t> queries{size_t(tile.steps * num_queries)}, start{size_t(num_queries)};
  for (int64_t s = 0; s < tile.steps; ++s)
    std::copy_n(tile.queries.data() + s * kMostQueries, num_queries, queries.data() + s * num_queries);
  std::copy_n(tile.start.data(), num_queries, start.data());
  ExactArray<int32_t> dots{size_t(num_queries * kPanelKeys)};
  isa.dot_tile(pass, queries.data(), num_queries, start.data(), tile.panel.data(), tile.steps, dots.data());
  for (size_t at = 0; at < dots.size(); ++at) {
    float single;
    std::memcpy(&single, &dots[at], sizeof single);
    const double got = pass == FirstPass::float32 ? double(single) : double(dots[at]);
    // Two roundings per step of float32; integers are exact.
    const double allowed =
        pass == FirstPass::float32 ? 2.001 * double(tile.steps) * kU * tile.magnitudes[at] : 0;
    expect(std::abs(got - tile.dots[at]) <= allowed, isa.name, " pass ", int(pass), ", D ", dim, ", ",
           num_queries, " queries, query ", at / kPanelKeys, ", key ", at % kPanelKeys, ": ", got,
           ", wanted ", tile.dots[at]);
  }
}

void multiplies_tiles() {
  Random random(6);
  for (const FirstPass pass : {FirstPass::float32, FirstPass::int16, FirstPass::int8})
    for (const int levels : {64, 127}) {
      if (pass != FirstPass::int8 && levels == 127) continue;
      for (const int64_t dim : dims(pass == FirstPass::float32 ? 7 : 1)) {
        const Tile tile = random_tile(pass, dim, levels, random);
        for_each_set([&](const Primitives& isa) {
          if (pass == FirstPass::int8 && levels > isa.int8_query_levels) return;
          for (int num_queries = 1; num_queries <= isa.tile_queries[int(pass)]; ++num_queries)
            multiplies(isa, pass, dim, tile, num_queries);
        });
      }
    }
}

// Rows as they lie in memory, each key also with itself.
void multiplies_rows() {
  Random random(8);
  for (const int64_t dim : dims(7)) {
    std::vector<ExactArray<float>> rows;
    const float* pointers[kRowTileQueries + kPanelKeys];
    for (const float*& pointer : pointers) {
      rows.emplace_back(size_t(dim));
      for (size_t d = 0; d < size_t(dim); ++d) rows.back()[d] = bell(random);
      pointer = rows.back().data();
    }
    const float* const* keys = pointers + kRowTileQueries;
    for_each_set([&](const Primitives& isa) {
      for (int num_queries = 1; num_queries <= kRowTileQueries; ++num_queries) {
        ExactArray<float> dots{size_t(num_queries * kPanelKeys)}, squares{kPanelKeys};
        isa.row_tile(pointers, num_queries, keys, dim, dots.data(), squares.data());
        for (int r = -1; r < num_queries; ++r)  // -1: the key itself
          for (int i = 0; i < kPanelKeys; ++i) {
            const float got = r < 0 ? squares[size_t(i)] : dots[size_t(r * kPanelKeys + i)];
            double want = 0, magnitude = 0;
            for (int64_t d = 0; d < dim; ++d) {
              const double term = double((r < 0 ? keys[i] : pointers[r])[d]) * keys[i][d];
              want += term;
              magnitude += std::abs(term);
            }
            const double roundings = r < 0 ? double(dim / 4 + 16) : 2.001 * double(dim);
            expect(std::abs(got - want) <= roundings * kU * magnitude, isa.name, " row tile, D ", dim, ", ",
                   num_queries, " queries, query ", r, ", key ", i, ": ", got, ", wanted ", want);
          }
      }
    });
  }
}

// A tile's facts and what was kept before it.
struct FilterCase {
  bool integers;
  ExactArray<int32_t> dots{size_t(kMostQueries * kPanelKeys)};
  ExactArray<float> facts{size_t(kKeyFacts * kPanelKeys)};
  std::vector<QueryFacts> queries;
  std::vector<float> thresholds;
  uint32_t allowed = 0;
  static constexpr uint32_t kBefore = 3, kFirstPlace = 64;
};

// `exact`: all values are small integers, so that every set computes the same and some equal the threshold.
FilterCase random_filter_case(bool integers, bool exact, Random& random) {
  FilterCase c;
  c.integers = integers;
  const auto value = [&](float low, float high) {
    const float x = uniform(random, low, high);
    return exact ? std::nearbyint(4 * x) : x;
  };
  for (size_t i = 0; i < c.dots.size(); ++i) {
    const float single = value(-2, 2);
    c.dots[i] = int32_t(std::nearbyint(exact ? single : single * 1e6f));
    if (!integers) std::memcpy(&c.dots[i], &single, sizeof single);
  }
  for (size_t i = 0; i < c.facts.size(); ++i) c.facts[i] = value(0, 1);
  for (size_t i = 4 * kPanelKeys; i < c.facts.size(); ++i)
    c.facts[i] = random() % 9 == 0 ? -kInf : value(-1, 1);
  const float scale = integers && !exact ? 1e-6f : 1.0f;
  for (int r = 0; r < kMostQueries; ++r) {
    c.queries.push_back({value(0.5f, 1) * scale, value(0, 1), value(0, 1), value(-1, 1)});
    c.thresholds.push_back(random() % 7 == 0   ? -std::numeric_limits<float>::max()
                           : random() % 7 == 0 ? kInf
                                               : value(-1, 3));
  }
  c.allowed = random() % 3 ? uint32_t(random()) : ~0u;
  return c;
}

void filters(const Primitives& isa, const FilterCase& c, int num_queries, bool exact) {
  const KeyFacts keys(c.facts.data());
  std::vector<ExactArray<float>> uppers;
  std::vector<ExactArray<uint32_t>> places;
  std::vector<Sink> sinks;
  for (int r = 0; r < num_queries; ++r) {
    uppers.emplace_back(size_t(FilterCase::kBefore + kPanelKeys));
    places.emplace_back(size_t(FilterCase::kBefore + kPanelKeys));
    std::fill_n(uppers.back().data(), FilterCase::kBefore, 5.0f);
    std::fill_n(places.back().data(), FilterCase::kBefore, 6u);
  }
  for (int r = 0; r < num_queries; ++r)
    sinks.push_back(
        {c.thresholds[size_t(r)], FilterCase::kBefore, uppers[size_t(r)].data(), places[size_t(r)].data()});
  isa.filter_tile(c.integers, c.dots.data(), num_queries, c.queries.data(), keys, c.allowed,
                  FilterCase::kFirstPlace, sinks.data());
  for (int r = 0; r < num_queries; ++r) {
    const Sink& sink = sinks[size_t(r)];
    const QueryFacts& q = c.queries[size_t(r)];
    for (uint32_t at = 0; at < FilterCase::kBefore; ++at)
      expect(sink.uppers[at] == 5 && sink.places[at] == 6, isa.name, " overwrites what was kept before");
    uint32_t next = FilterCase::kBefore;
    for (int i = 0; i < kPanelKeys; ++i) {
      const int32_t raw = c.dots[size_t(r * kPanelKeys + i)];
      float single;
      std::memcpy(&single, &raw, sizeof single);
      const double parts[] = {(c.integers ? double(raw) : double(single)) * keys.scale[i] * q.scale,
                              double(q.component) * keys.component[i], double(q.norm) * keys.residual[i],
                              double(q.residual) * keys.norm[i], double(keys.offset[i])};
      const double want = std::accumulate(std::begin(parts), std::end(parts), 0.0);
      double magnitude = 0;
      for (const double part : parts) magnitude += std::abs(part);
      const double allowed_error = exact || std::isinf(want) ? 0 : 10 * kU * magnitude;
      const bool kept = next < sink.count && sink.places[next] == FilterCase::kFirstPlace + uint32_t(i);
      const bool may = want + allowed_error >= sink.threshold && (c.allowed >> i & 1);
      const bool must = want - allowed_error >= sink.threshold && (c.allowed >> i & 1);
      expect(kept ? may : !must, isa.name, c.integers ? " integers" : " floats", ", query ", r, ", key ", i,
             kept ? " is kept" : " is lost", ": upper ", want, ", threshold ", sink.threshold, ", allowed ",
             c.allowed >> i & 1);
      if (!kept) continue;
      expect(std::abs(sink.uppers[next] - want) <= allowed_error, isa.name, " upper ", sink.uppers[next],
             ", wanted ", want);
      ++next;
    }
    expect(next == sink.count, isa.name, " keeps ", sink.count, " places, ", next, " in order");
  }
}

void filters_tiles() {
  Random random(7);
  for (int round = 0; round < 400; ++round) {
    const bool integers = round % 2, exact = round % 4 < 2;
    const FilterCase c = random_filter_case(integers, exact, random);
    for_each_set([&](const Primitives& isa) {
      const int most = isa.tile_queries[integers ? int(FirstPass::int8) : int(FirstPass::float32)];
      filters(isa, c, 1 + round % most, exact);
    });
  }
}

}  // namespace

void test_tiles() {
  multiplies_tiles();
  multiplies_rows();
  filters_tiles();
}

}  // namespace fastret::test
