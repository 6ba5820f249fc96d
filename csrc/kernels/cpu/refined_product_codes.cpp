#include "kernels/cpu/refined_product_codes.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/found_rows.h"
#include "kernels/cpu/product_codes.h"
#include "kernels/cpu/rows.h"

namespace fastret::cpu {
namespace {

// Adds what the codes of a row stand for.
void add_decoded(const CodedRows& rows, int64_t row, float* vector) {
  const ProductCodes& codes = rows.codes;
  const float* centroids = rows.centroids;
  with_code_reader(codes.nbits, [&](auto reader_of) {
    auto reader = reader_of(codes.data + row * codes.code_size);
    for (int64_t m = 0; m < codes.num_codes; ++m, centroids += rows.sub_dim << codes.nbits) {
      const float* mine = centroids + reader.next() * rows.sub_dim;
      for (int64_t d = 0; d < rows.sub_dim; ++d) *vector++ += mine[d];
    }
  });
}

// The visited list that a row is in.
int64_t list_of(const RefinedProductParams& p, int64_t query, int64_t position) {
  const int64_t* list = p.nearest.lists() + query * p.nprobe;
  const auto holds = [&](int64_t list) {
    return list >= 0 && position >= p.lists.starts[list] &&
           position < p.lists.starts[list] + p.lists.sizes[list];
  };
  while (!holds(*list)) ++list;
  return *list;
}

void refine(const RefinedProductParams& p, int64_t query) {
  const int64_t dim = p.queries.dim;
  const float* x = static_cast<const float*>(p.queries.data) + query * p.queries.row_stride;
  std::vector<float> vectors(size_t(kRowsPerCall * dim));
  const float* keys[kRowsPerCall];
  for (int r = 0; r < kRowsPerCall; ++r) keys[r] = vectors.data() + r * dim;
  BestRows best(p.k);
  for (int64_t first = 0; first < p.num_candidates; first += kRowsPerCall) {
    const int64_t at = query * p.num_candidates + first;
    const int size = int(std::min<int64_t>(kRowsPerCall, p.num_candidates - first));
    std::fill(vectors.begin(), vectors.end(), 0.0f);
    for (int r = 0; r < size; ++r) {
      const int64_t position = p.candidates[at + r];
      if (position < 0) continue;
      float* vector = vectors.data() + r * dim;
      add_decoded(p.rows, position, vector);
      const float* centroid = p.coarse ? p.coarse + list_of(p, query, position) * dim : nullptr;
      for (int64_t d = 0; centroid && d < dim; ++d) vector[d] += centroid[d];
      add_decoded(p.left, p.lists.ids[position], vector);
    }
    float scores[kRowsPerCall];
    score_keys(Metric::l2, x, 0, keys, nullptr, size, dim, scores);
    for (int r = 0; r < size; ++r) {
      const int64_t position = p.candidates[at + r];
      if (position >= 0) best.push({-scores[r], p.lists.ids[position], position});
    }
  }
  const std::vector<FoundRow>& rows = best.sorted();
  for (int64_t i = 0; i < p.k; ++i) {
    const bool there = i < int64_t(rows.size());
    p.scores[query * p.k + i] =
        there ? -rows[size_t(i)].value + 0.0f : std::numeric_limits<float>::infinity();
    p.positions[query * p.k + i] = there ? rows[size_t(i)].position : -1;
  }
}

}  // namespace

bool refine_product_codes(const RefinedProductParams& p, const Parallel& parallel) {
  for (int64_t i = 0; i < p.queries.rows * p.num_candidates; ++i) {
    const int64_t id = p.candidates[i] < 0 ? 0 : p.lists.ids[p.candidates[i]];
    if (p.candidates[i] >= 0 && (id < 0 || id >= p.num_left)) return false;
  }
  parallel(p.queries.rows, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t q = begin; q < end; ++q) refine(p, q);
  });
  return true;
}

}  // namespace fastret::cpu
