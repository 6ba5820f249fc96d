// Canonical scores of every query with every key.
#include <algorithm>
#include <vector>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/rows.h"
#include "kernels/half.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kBlockBytes = 256 << 10;  // of widened keys: they stay in the second-level cache

void store(float score, DType dtype, void* target, int64_t element) {
  switch (dtype) {
    case DType::f32:
      static_cast<float*>(target)[element] = score;
      break;
    case DType::bf16:
      static_cast<uint16_t*>(target)[element] = round_to_bf16(score);
      break;
    case DType::f16:
      static_cast<uint16_t*>(target)[element] = round_to_f16(score);
      break;
  }
}

struct QueryBlock {
  int64_t begin, end;
};

void score_block(const PairwiseScoresParams& p, QueryBlock queries, int64_t key_begin, int64_t key_end) {
  const DefaultFloatEnvironment environment;
  const int64_t dim = p.keys.dim, num_keys = key_end - key_begin;
  RowReader key_reader(p.keys, num_keys), query_reader(p.queries, 1);
  std::vector<const float*> keys(size_t(num_keys), nullptr);
  for (int64_t i = 0; i < num_keys; ++i) keys[size_t(i)] = key_reader.read(key_begin + i, i);

  const Primitives& isa = primitives();
  const Term term = p.metric == Metric::l2 ? Term::squared_difference : Term::product;
  std::vector<double> squares(size_t(num_keys), 0.0);
  if (p.metric == Metric::cosine)
    for (int64_t i = 0; i < num_keys; ++i) squares[size_t(i)] = canonical_square(keys[size_t(i)], dim);

  for (int64_t q = queries.begin; q < queries.end; ++q) {
    const float* query = query_reader.read(q, 0);
    const double query_square = p.metric == Metric::cosine ? canonical_square(query, dim) : 0.0;
    for (int64_t i = 0; i < num_keys; i += kRowsPerCall) {
      const int count = int(std::min<int64_t>(kRowsPerCall, num_keys - i));
      const float* rows[kRowsPerCall];
      for (int r = 0; r < kRowsPerCall; ++r) rows[r] = keys[size_t(i + (r < count ? r : 0))];
      double sums[kRowsPerCall];
      isa.canonical_rows(term, query, rows, nullptr, dim, sums);
      for (int r = 0; r < count; ++r)
        store(canonical_score(p.metric, sums[r], query_square, squares[size_t(i + r)]), p.out_dtype, p.scores,
              q * p.keys.rows + key_begin + i + r);
    }
  }
}

}  // namespace

void pairwise_scores(const PairwiseScoresParams& p, const Parallel& parallel) {
  if (p.queries.rows == 0 || p.keys.rows == 0) return;
  const int64_t keys_per_block = std::clamp<int64_t>(kBlockBytes / std::max<int64_t>(1, p.keys.dim * 4),
                                                     kRowsPerCall, p.keys.rows + kRowsPerCall);
  const int64_t key_blocks = (p.keys.rows + keys_per_block - 1) / keys_per_block;
  // Enough query blocks for every thread; each repeats only the cheap reading of its keys.
  const int64_t query_blocks =
      std::clamp<int64_t>((4 * parallel.num_threads + key_blocks - 1) / key_blocks, 1, p.queries.rows);
  parallel(key_blocks * query_blocks, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t kb = task / query_blocks, qb = task % query_blocks;
      score_block(p, {p.queries.rows * qb / query_blocks, p.queries.rows * (qb + 1) / query_blocks},
                  kb * keys_per_block, std::min(p.keys.rows, (kb + 1) * keys_per_block));
    }
  });
}

}  // namespace fastret::cpu
