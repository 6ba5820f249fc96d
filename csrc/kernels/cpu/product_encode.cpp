// Product quantization of rows, the way back, and the tables of queries.
#include <algorithm>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/product_codes.h"
#include "kernels/cpu/product_columns.h"

namespace fastret::cpu {
void product_tables(const ProductTablesParams& p, const Parallel& parallel) {
  const ProductColumns columns(p.centroids, p.num_codes, p.nbits, p.sub_dim);
  parallel(p.count, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t q = begin; q < end; ++q)
      columns.tables(p.squared_l2 ? Term::squared_difference : Term::product, p.rows + q * columns.dim(),
                     p.tables + q * columns.entries());
  });
}

void product_encode(const ProductEncodeParams& p, const Parallel& parallel) {
  const ProductColumns columns(p.centroids, p.num_codes, p.nbits, p.sub_dim);
  const int64_t code_size = product_code_size(p.num_codes, p.nbits);
  parallel(p.count, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t i = begin; i < end; ++i) {
      uint8_t* row = p.codes + i * code_size;
      std::fill_n(row, code_size, uint8_t(0));
      for (int64_t m = 0; m < p.num_codes; ++m)
        put_code(row, m, p.nbits, uint32_t(columns.nearest(p.rows + i * columns.dim() + m * p.sub_dim, m)));
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

}  // namespace fastret::cpu
