#include "kernels/cpu/rescore.h"

#include "kernels/cpu/rows.h"

namespace fastret::cpu {
namespace {

// Pairs that share a query or a key.
struct Run {
  size_t begin, end;
};

void order_by_key(std::vector<Pair>& pairs, size_t begin, int64_t num_keys) {
  std::vector<size_t> starts(size_t(num_keys + 1), 0);
  for (size_t i = begin; i < pairs.size(); ++i) ++starts[pairs[i].key + 1];
  for (size_t key = 1; key < starts.size(); ++key) starts[key] += starts[key - 1];
  std::vector<Pair> ordered(pairs.size() - begin);
  for (size_t i = begin; i < pairs.size(); ++i) ordered[starts[pairs[i].key]++] = pairs[i];
  std::copy(ordered.begin(), ordered.end(), pairs.begin() + int64_t(begin));
}

void prefetch_row(const float* row, int64_t dim) {
  for (int64_t d = 0; d < dim; d += 16) __builtin_prefetch(row + d);
}

// One key with the queries that kept it: the canonical terms are symmetric.
void score_by_key(const KeySet& keys, const QueryBlock& block, std::vector<Pair>& pairs, Run run,
                  const float* key) {
  const Primitives& isa = primitives();
  const int64_t dim = keys.rows.dim;
  const double key_square = keys.metric == Metric::cosine ? canonical_square(key, dim) : 0.0;
  const Term term = keys.metric == Metric::l2 ? Term::squared_difference : Term::product;
  for (size_t first = run.begin; first < run.end; first += kRowsPerCall) {
    const float* queries[kRowsPerCall];
    double sums[kRowsPerCall];
    for (size_t r = 0; r < kRowsPerCall; ++r)
      queries[r] = block.row(pairs[std::min(first + r, run.end - 1)].query);
    isa.canonical_rows(term, key, queries, nullptr, dim, sums);
    for (size_t r = 0; r < kRowsPerCall && first + r < run.end; ++r) {
      Pair& pair = pairs[first + r];
      const float score = canonical_score(keys.metric, sums[r], block.square(pair.query), key_square);
      pair.value = rank_value(keys.metric, score);
    }
  }
}

void score_by_query(const KeySet& keys, const QueryBlock& block, std::vector<Pair>& pairs, Run run,
                    RowReader& reader) {
  const bool in_place = keys.rows.dtype == DType::f32;
  for (size_t first = run.begin; first < run.end; first += kRowsPerCall) {
    const float *rows[kRowsPerCall], *next[kRowsPerCall];
    const int size = int(std::min<size_t>(kRowsPerCall, run.end - first));
    for (int r = 0; r < size; ++r) rows[r] = reader.read(pairs[first + size_t(r)].key, r);
    // The keys of the next call lie anywhere in memory.
    if (in_place)
      for (size_t r = 0; r < kRowsPerCall; ++r)
        next[r] = reader.read(pairs[std::min(first + kRowsPerCall + r, pairs.size() - 1)].key, 0);
    const uint32_t query = pairs[first].query;
    float scores[kRowsPerCall];
    score_keys(keys.metric, block.row(query), block.square(query), rows, in_place ? next : nullptr, size,
               keys.rows.dim, scores);
    for (int r = 0; r < size; ++r) pairs[first + size_t(r)].value = rank_value(keys.metric, scores[r]);
  }
}

// The pairs from `begin` on that agree in `side`.
Run next_run(const std::vector<Pair>& pairs, size_t begin, uint32_t Pair::* side) {
  size_t end = begin + 1;
  while (end < pairs.size() && pairs[end].*side == pairs[begin].*side) ++end;
  return {begin, end};
}

}  // namespace

void add_pairs(const KeySet& keys, const QueryBlock& block, int64_t q, const std::vector<int64_t>& of,
               std::vector<Pair>& pairs) {
  for (int64_t key : of)
    if ((!keys.allowed || keys.allowed[key]) && !block.excludes(q, key))
      pairs.push_back({uint32_t(q), uint32_t(key)});
}

void score_pairs(const KeySet& keys, const QueryBlock& block, std::vector<Pair>& pairs, size_t begin) {
  RowReader reader(keys.rows, kRowsPerCall);
  // Where most keys were kept by several queries, each key is read once.
  const bool by_key = pairs.size() - begin > size_t(keys.rows.rows);
  if (by_key) order_by_key(pairs, begin, keys.rows.rows);
  while (begin < pairs.size()) {
    const Run run = next_run(pairs, begin, by_key ? &Pair::key : &Pair::query);
    if (by_key) {
      if (run.end < pairs.size() && keys.rows.dtype == DType::f32)
        prefetch_row(reader.read(pairs[run.end].key, 0), keys.rows.dim);
      score_by_key(keys, block, pairs, run, reader.read(pairs[begin].key, 0));
    } else {
      score_by_query(keys, block, pairs, run, reader);
    }
    begin = run.end;
  }
}

}  // namespace fastret::cpu
