// Product codes against plain definitions, for every instruction set: codes of arrays without a spare byte.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "expect.h"
#include "groups.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/list_terms.h"
#include "kernels/cpu/nearest_product_search.h"
#include "kernels/cpu/refined_product_codes.h"
#include "kernels/cpu/rows.h"
#include "kernels/isa.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

struct Case {
  int64_t num_codes, sub_dim, rows;
  int nbits;
  bool largest, offsets;
  float spread;  // of the entries of tables, beside an offset of 1; 0: few values, so that many scores are
                 // equal
};

int64_t code_of(const uint8_t* row, int64_t m, int nbits) {
  int64_t code = 0;
  for (int bit = 0; bit < nbits; ++bit) {
    const int64_t at = m * nbits + bit;
    code |= int64_t(row[at / 8] >> (at % 8) & 1) << bit;
  }
  return code;
}

float squared_l2(const float* a, const float* b, int64_t dim) {
  float sum = 0;
  for (int64_t d = 0; d < dim; ++d) {
    const float difference = a[d] - b[d];
    sum += difference * difference;
  }
  return sum;
}

// Encoding, decoding and tables.
void check_quantizer(const Case& c, Random& random, const char* isa) {
  const int64_t entries = int64_t(1) << c.nbits, dim = c.num_codes * c.sub_dim;
  ExactArray<float> rows(size_t(c.rows * dim)), centroids(size_t(entries * dim)), decoded(rows.size());
  ExactArray<float> tables(size_t(c.rows * c.num_codes * entries));
  // Small whole numbers: some centroids are equally near.
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = float(random() % 7);
  for (size_t i = 0; i < centroids.size(); ++i) centroids[i] = float(random() % 7);
  const int64_t size = product_code_size(c.num_codes, c.nbits);
  ExactArray<uint8_t> codes(size_t(c.rows * size));
  cpu::product_encode({rows.data(), centroids.data(), c.rows, c.num_codes, c.nbits, c.sub_dim, codes.data()},
                      threads<2>());
  cpu::product_decode(
      {{codes.data(), size, c.num_codes, c.nbits}, centroids.data(), c.rows, c.sub_dim, decoded.data()},
      threads<2>());
  cpu::product_tables(
      {rows.data(), centroids.data(), c.rows, c.num_codes, c.nbits, c.sub_dim, true, tables.data()},
      threads<2>());
  for (int64_t i = 0; i < c.rows; ++i)
    for (int64_t m = 0; m < c.num_codes; ++m) {
      const float* row = rows.data() + i * dim + m * c.sub_dim;
      const float* mine = centroids.data() + m * entries * c.sub_dim;
      int64_t nearest = 0;
      for (int64_t e = 0; e < entries; ++e) {
        const float distance = squared_l2(row, mine + e * c.sub_dim, c.sub_dim);
        expect(tables[size_t((i * c.num_codes + m) * entries + e)] == distance, "table, ", isa, ", nbits ",
               c.nbits);
        if (distance < squared_l2(row, mine + nearest * c.sub_dim, c.sub_dim)) nearest = e;
      }
      const int64_t code = code_of(codes.data() + i * size, m, c.nbits);
      expect(code == nearest, "code, ", isa, ", nbits ", c.nbits, ": ", code, ", wanted ", nearest);
      expect(std::equal(mine + nearest * c.sub_dim, mine + (nearest + 1) * c.sub_dim,
                        decoded.data() + i * dim + m * c.sub_dim),
             "decoded, ", isa, ", nbits ", c.nbits);
    }
}

struct Found {
  float score;
  int64_t id, position;
};

void check_search(const Case& c, Random& random, const char* isa) {
  constexpr int64_t kQueries = 3, kLists = 3;
  const int64_t entries = int64_t(1) << c.nbits, size = product_code_size(c.num_codes, c.nbits);
  ExactArray<uint8_t> codes(size_t(c.rows * size));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = uint8_t(random());
  ExactArray<float> tables(size_t(kQueries * c.num_codes * entries)), offsets(size_t(c.rows)),
      base(kQueries * kLists);
  for (size_t i = 0; i < tables.size(); ++i)
    tables[i] = c.spread > 0 ? 1 + c.spread * bell(random) : 0.1f + float(random() % 6);
  for (size_t i = 0; i < offsets.size(); ++i) offsets[i] = c.spread > 0 ? bell(random) : 0.3f;
  for (size_t i = 0; i < base.size(); ++i) base[i] = bell(random);
  ExactArray<int64_t> ids(size_t(c.rows));
  for (int64_t i = 0; i < c.rows; ++i) ids[size_t(i)] = c.rows - i;
  // The last list ends where the arena does.
  const int64_t starts[kLists] = {0, c.rows / 3, c.rows / 3},
                sizes[kLists] = {c.rows / 3, 0, c.rows - c.rows / 3};
  const int64_t probes[kQueries * kLists] = {0, 1, 2, 2, -1, 0, -1, 2, 1};
  const ProductQueries queries{tables.data(), c.num_codes * entries, entries, kQueries, probes,
                               kLists,        base.data(),           0,       c.largest};
  const CodeLists lists{{codes.data(), size, c.num_codes, c.nbits}, ids.data(), starts, sizes,
                        c.offsets ? offsets.data() : nullptr,       nullptr};
  const int64_t k = 20;
  ExactArray<float> scores(kQueries * k);
  ExactArray<int64_t> positions(kQueries * k);
  cpu::product_search({queries, lists, k, scores.data(), positions.data()}, threads<2>());
  for (int64_t q = 0; q < kQueries; ++q) {
    std::vector<Found> all;
    for (int64_t p = 0; p < kLists; ++p) {
      const int64_t list = probes[q * kLists + p];
      for (int64_t i = 0; list >= 0 && i < sizes[list]; ++i) {
        const int64_t position = starts[list] + i;
        float sum = 0;
        for (int64_t m = 0; m < c.num_codes; ++m)
          sum += tables[size_t((q * c.num_codes + m) * entries +
                               code_of(codes.data() + position * size, m, c.nbits))];
        const float score =
            (sum + (c.offsets ? offsets[size_t(position)] : 0)) + base[size_t(q * kLists + p)];
        all.push_back({score, ids[size_t(position)], position});
      }
    }
    std::sort(all.begin(), all.end(), [&](const Found& a, const Found& b) {
      return a.score != b.score ? (a.score > b.score) == c.largest : a.id < b.id;
    });
    const float worst =
        c.largest ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::infinity();
    all.resize(size_t(std::max<int64_t>(k, int64_t(all.size()))), {worst, -1, -1});
    for (int64_t i = 0; i < k; ++i)
      expect(scores[size_t(q * k + i)] == all[size_t(i)].score &&
                 positions[size_t(q * k + i)] == all[size_t(i)].position,
             "search, ", isa, ", M ", c.num_codes, ", nbits ", c.nbits, ", ", c.rows, " rows, query ", q,
             ", place ", i, ": ", positions[size_t(q * k + i)], ", wanted ", all[size_t(i)].position);
  }
}

// One search after another of lists, whose terms several threads ask for at once, against the pieces.
void check_nearest(const Case& c, Random& random, const char* isa) {
  constexpr int64_t kQueries = 2, kLists = 5, kProbes = 3, kBest = 7;
  const int64_t entries = int64_t(1) << c.nbits, dim = c.num_codes * c.sub_dim;
  const int64_t size = product_code_size(c.num_codes, c.nbits);
  ExactArray<float> queries(size_t(kQueries * dim)), coarse(size_t(kLists * dim)),
      centroids(size_t(entries * dim));
  for (ExactArray<float>* values : {&queries, &coarse, &centroids})
    for (size_t i = 0; i < values->size(); ++i) (*values)[i] = bell(random);
  ExactArray<uint8_t> codes(size_t(c.rows * size));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = uint8_t(random());
  const int64_t part = c.rows / kLists;
  const int64_t starts[kLists] = {part, 0, 2 * part, 2 * part, c.rows - part},
                sizes[kLists] = {part, part, 0, part, part};
  const cpu::ProductColumns columns(centroids.data(), c.num_codes, c.nbits, c.sub_dim);
  ExactArray<float> terms(size_t(c.rows));
  CodeLists lists{{codes.data(), size, c.num_codes, c.nbits}, nullptr, starts, sizes, nullptr, nullptr};
  const bool residual = c.offsets, has_terms = residual && !c.largest;
  if (has_terms) {
    cpu::ListTerms makes(columns, lists, kLists, terms.data());
    threads<2>()(2 * kLists, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) makes.make(i % kLists, coarse.data() + i % kLists * dim);
    });
    for (int64_t list = 0; list < kLists; ++list)
      for (int64_t i = starts[list]; i < starts[list] + sizes[list]; ++i) {
        float sum = 0;
        for (int64_t m = 0; m < c.num_codes; ++m) {
          const int64_t code = code_of(codes.data() + i * size, m, c.nbits);
          const float* mine = centroids.data() + (m * entries + code) * c.sub_dim;
          float product = 0, square = 0;
          for (int64_t d = 0; d < c.sub_dim; ++d) {
            product += coarse[size_t(list * dim + m * c.sub_dim + d)] * mine[d];
            square += mine[d] * mine[d];
          }
          sum += 2 * product + square;
        }
        expect(makes.made(list) && terms[size_t(i)] == sum, "terms, ", isa, ", nbits ", c.nbits);
      }
    lists.offsets = terms.data();
  }
  const cpu::NearestLists nearest({queries.data(), kQueries, dim, dim, DType::f32},
                                  {coarse.data(), kLists, dim, dim, DType::f32}, Metric::l2, kProbes);
  ExactArray<float> scores(kQueries * kBest), wanted(kQueries * kBest),
      tables(size_t(kQueries * c.num_codes * entries));
  ExactArray<int64_t> positions(kQueries * kBest), wanted_positions(kQueries * kBest);
  cpu::search_nearest_product_codes({queries.data(), kQueries, nearest, kProbes, 0, columns, lists, residual,
                                     c.largest, kBest, scores.data(), positions.data()},
                                    threads<2>());
  cpu::product_tables({queries.data(), centroids.data(), kQueries, c.num_codes, c.nbits, c.sub_dim,
                       !c.largest && !residual, tables.data()},
                      threads<2>());
  for (size_t i = 0; has_terms && i < tables.size(); ++i) tables[i] *= -2;
  cpu::product_search({{tables.data(), c.num_codes * entries, entries, kQueries, nearest.lists(), kProbes,
                        residual ? nearest.scores() : nullptr, 0, c.largest},
                       lists,
                       kBest,
                       wanted.data(),
                       wanted_positions.data()},
                      threads<1>());
  for (size_t i = 0; i < scores.size(); ++i)
    expect(scores[i] == wanted[i] && positions[i] == wanted_positions[i], "nearest, ", isa, ", nbits ",
           c.nbits);
}

// Rows of one list ranked by both codes, against sums of decoded rows.
void check_refined(const Case& c, Random& random, const char* isa) {
  constexpr int64_t kBest = 5;
  const int64_t entries = int64_t(1) << c.nbits, dim = c.num_codes * c.sub_dim,
                count = std::min<int64_t>(c.rows, 50);
  const int64_t size = product_code_size(c.num_codes, c.nbits), start = 0;
  ExactArray<float> query(static_cast<size_t>(dim)), coarse(static_cast<size_t>(dim)),
      centroids(size_t(entries * dim)), decoded(size_t(count * dim)), left(size_t(count * dim));
  for (ExactArray<float>* values : {&query, &coarse, &centroids})
    for (size_t i = 0; i < values->size(); ++i) (*values)[i] = bell(random);
  ExactArray<uint8_t> codes(size_t(count * size)), left_codes(size_t(count * size));
  for (ExactArray<uint8_t>* bytes : {&codes, &left_codes})
    for (size_t i = 0; i < bytes->size(); ++i) (*bytes)[i] = uint8_t(random());
  const auto rows_of = [&](const ExactArray<uint8_t>& bytes) {
    return cpu::CodedRows{{bytes.data(), size, c.num_codes, c.nbits}, centroids.data(), c.sub_dim};
  };
  ExactArray<int64_t> ids(static_cast<size_t>(count)), candidates(size_t(count + 1));
  for (int64_t i = 0; i < count; ++i) ids[size_t(i)] = candidates[size_t(i)] = count - 1 - i;
  candidates[size_t(count)] = -1;
  const cpu::NearestLists nearest({query.data(), 1, dim, dim, DType::f32},
                                  {coarse.data(), 1, dim, dim, DType::f32}, Metric::l2, 1);
  ExactArray<float> scores(kBest);
  ExactArray<int64_t> positions(kBest);
  const CodeLists lists{rows_of(codes).codes, ids.data(), &start, &count, nullptr, nullptr};
  const auto refine = [&](int64_t num_left) {
    return cpu::refine_product_codes({{query.data(), 1, dim, dim, DType::f32},
                                      rows_of(codes),
                                      lists,
                                      coarse.data(),
                                      nearest,
                                      1,
                                      rows_of(left_codes),
                                      num_left,
                                      candidates.data(),
                                      count + 1,
                                      kBest,
                                      scores.data(),
                                      positions.data()},
                                     threads<2>());
  };
  expect(!refine(count - 1) && refine(count), "refined, ids beyond the codes, ", isa);
  cpu::product_decode({rows_of(codes).codes, centroids.data(), count, c.sub_dim, decoded.data()},
                      threads<1>());
  cpu::product_decode({rows_of(left_codes).codes, centroids.data(), count, c.sub_dim, left.data()},
                      threads<1>());
  std::vector<Found> all;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t id = ids[size_t(i)];
    std::vector<float> row(static_cast<size_t>(dim));
    for (int64_t d = 0; d < dim; ++d)
      row[size_t(d)] = (decoded[size_t(i * dim + d)] + coarse[size_t(d)]) + left[size_t(id * dim + d)];
    const float* keys[] = {row.data()};
    float score;
    score_keys(Metric::l2, query.data(), 0, keys, nullptr, 1, dim, &score);
    all.push_back({score, id, i});
  }
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) {
    return a.score != b.score ? a.score < b.score : a.id < b.id;
  });
  for (size_t i = 0; i < kBest; ++i)
    expect(i < all.size() ? scores[i] == all[i].score && positions[i] == all[i].position : positions[i] == -1,
           "refined, ", isa, ", nbits ", c.nbits, ", place ", i);
}

}  // namespace

void test_product_codes() {
  // Entries as close together as float32 tells them apart, and of many sizes.
  const Case cases[] = {{16, 2, 1500, 8, true, true, 1},    {8, 3, 700, 8, false, false, 1},
                        {5, 1, 300, 8, false, true, 1e-6f}, {4, 2, 1000, 4, true, false, 1},
                        {7, 1, 515, 4, false, true, 1e-6f}, {33, 1, 260, 4, false, false, 1e3f},
                        {3, 5, 400, 5, true, true, 1},      {2, 17, 100, 10, false, true, 1},
                        {1, 1, 3, 8, true, false, 1},       {20, 1, 257, 6, false, false, 1},
                        {2, 1, 3000, 8, true, false, 0},    {2, 1, 3000, 4, false, true, 0},
                        {2, 1, 3000, 4, true, false, 0},    {5, 2, 300, 2, false, true, 1},
                        {3, 1, 300, 1, true, false, 1},     {32, 1, 1100, 4, false, false, 1},
                        {15, 1, 900, 4, true, true, 1}};
  for (const char* const* isa = available_isas(); *isa; ++isa) {
    use_isa(*isa);
    Random random(11);
    for (const Case& c : cases) {
      check_search(c, random, *isa);
      Case few = c;
      few.rows = 5;
      check_quantizer(few, random, *isa);
      check_nearest(c, random, *isa);
      check_refined(c, random, *isa);
    }
  }
}

}  // namespace fastret::test
