// Product quantization of rows, the way back, and the tables of queries.
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/code_primitives.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/product_codes.h"

namespace fastret::cpu {
namespace {

// Centroids with the dimensions outside: [M, sub_dim, K up to a multiple of 16]. Those beyond K are
// infinitely far.
class Columns {
 public:
  Columns(const float* centroids, int64_t num_codes, int nbits, int64_t sub_dim)
      : sub_dim_(sub_dim),
        count_(int64_t(1) << nbits),
        padded_((count_ + 15) / 16 * 16),
        columns_(size_t(num_codes * sub_dim * padded_), std::numeric_limits<float>::infinity()) {
    for (int64_t m = 0; m < num_codes; ++m)
      for (int64_t d = 0; d < sub_dim; ++d)
        for (int64_t c = 0; c < count_; ++c)
          columns_[size_t((m * sub_dim + d) * padded_ + c)] = centroids[(m * count_ + c) * sub_dim + d];
  }

  int64_t count() const { return count_; }
  int64_t padded() const { return padded_; }

  // Of sub-vector m of a row with every centroid, [padded].
  void scores(const CodePrimitives& set, Term term, const float* row, int64_t m, float* scores) const {
    set.column_scores(term, row + m * sub_dim_, &columns_[size_t(m * sub_dim_ * padded_)], sub_dim_, padded_,
                      scores);
  }
  int64_t nearest(const CodePrimitives& set, const float* row, int64_t m) const {
    return set.nearest_column(row + m * sub_dim_, &columns_[size_t(m * sub_dim_ * padded_)], sub_dim_,
                              padded_);
  }

 private:
  int64_t sub_dim_, count_, padded_;
  std::vector<float> columns_;
};

}  // namespace

void product_tables(const ProductTablesParams& p, const Parallel& parallel) {
  const Columns columns(p.centroids, p.num_codes, p.nbits, p.sub_dim);
  const CodePrimitives& set = *primitives().codes;
  const Term term = p.squared_l2 ? Term::squared_difference : Term::product;
  parallel(p.count, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    std::vector<float> padded(size_t(columns.padded()));
    for (int64_t q = begin; q < end; ++q)
      for (int64_t m = 0; m < p.num_codes; ++m) {
        float* table = p.tables + (q * p.num_codes + m) * columns.count();
        const bool fits = columns.padded() == columns.count();
        columns.scores(set, term, p.rows + q * p.num_codes * p.sub_dim, m, fits ? table : padded.data());
        if (!fits) std::copy_n(padded.data(), columns.count(), table);
      }
  });
}

void product_encode(const ProductEncodeParams& p, const Parallel& parallel) {
  const Columns columns(p.centroids, p.num_codes, p.nbits, p.sub_dim);
  const CodePrimitives& set = *primitives().codes;
  const int64_t code_size = product_code_size(p.num_codes, p.nbits);
  parallel(p.count, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t i = begin; i < end; ++i) {
      uint8_t* row = p.codes + i * code_size;
      std::fill_n(row, code_size, uint8_t(0));
      for (int64_t m = 0; m < p.num_codes; ++m)
        put_code(row, m, p.nbits, uint32_t(columns.nearest(set, p.rows + i * p.num_codes * p.sub_dim, m)));
    }
  });
}

void product_decode(const ProductDecodeParams& p, const Parallel& parallel) {
  const int64_t num_centroids = int64_t(1) << p.codes.nbits;
  with_code_reader(p.codes.nbits, [&](auto reader_of) {
    parallel(p.count, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        auto reader = reader_of(p.codes.data + i * p.codes.code_size);
        for (int64_t m = 0; m < p.codes.num_codes; ++m)
          std::copy_n(p.centroids + (m * num_centroids + reader.next()) * p.sub_dim, p.sub_dim,
                      p.rows + (i * p.codes.num_codes + m) * p.sub_dim);
      }
    });
  });
}

void product_sums(const ProductSumsParams& p, const Parallel& parallel) {
  const int64_t num_centroids = int64_t(1) << p.codes.nbits;
  std::vector<int64_t> first(size_t(p.num_lists), 0);
  for (int64_t list = 1; list < p.num_lists; ++list)
    first[size_t(list)] = first[size_t(list - 1)] + p.sizes[list - 1];
  with_code_reader(p.codes.nbits, [&](auto reader_of) {
    parallel(p.num_lists, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment environment;
      for (int64_t list = begin; list < end; ++list)
        for (int64_t i = 0; i < p.sizes[list]; ++i) {
          auto reader = reader_of(p.codes.data + (p.starts[list] + i) * p.codes.code_size);
          const float* tables = p.tables + list * p.codes.num_codes * num_centroids;
          float sum = 0;
          for (int64_t m = 0; m < p.codes.num_codes; ++m) sum += tables[m * num_centroids + reader.next()];
          p.sums[first[size_t(list)] + i] = sum;
        }
    });
  });
}

}  // namespace fastret::cpu
