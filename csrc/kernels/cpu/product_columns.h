// The centroids of a product quantizer as the kernels read them: side by side.
#pragma once
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/code_primitives.h"

namespace fastret::cpu {

// With the dimensions outside: [M, sub_dim, K up to a multiple of 16]. Those beyond K are infinitely far.
class ProductColumns {
 public:
  // centroids [M, K, sub_dim]
  ProductColumns(const float* centroids, int64_t num_codes, int nbits, int64_t sub_dim)
      : num_codes_(num_codes),
        sub_dim_(sub_dim),
        count_(int64_t(1) << nbits),
        padded_((count_ + kTogether - 1) / kTogether * kTogether),
        columns_(size_t(num_codes * sub_dim * padded_), std::numeric_limits<float>::infinity()) {
    for (int64_t m = 0; m < num_codes; ++m)
      for (int64_t d = 0; d < sub_dim; ++d)
        for (int64_t c = 0; c < count_; ++c)
          columns_[size_t((m * sub_dim + d) * padded_ + c)] = centroids[(m * count_ + c) * sub_dim + d];
  }

  int64_t dim() const { return num_codes_ * sub_dim_; }
  int64_t entries() const { return num_codes_ * count_; }  // of the tables of a row

  // Of every sub-vector of a row with every centroid: tables [M, K].
  void tables(Term term, const float* row, float* tables) const {
    const CodePrimitives& set = *primitives().codes;
    for (int64_t m = 0; m < num_codes_; ++m, row += sub_dim_, tables += count_) {
      float padded[kTogether];
      const bool fits = count_ == padded_;
      set.column_scores(term, row, of_code(m), sub_dim_, padded_, fits ? tables : padded);
      if (!fits) std::copy_n(padded, count_, tables);
    }
  }

  // The number of the centroid nearest to a sub-vector.
  int64_t nearest(const float* sub_vector, int64_t m) const {
    return primitives().codes->nearest_column(sub_vector, of_code(m), sub_dim_, padded_);
  }

  // Of every centroid: squares [M, K].
  std::vector<float> squares() const {
    std::vector<float> squares;
    for (int64_t m = 0; m < num_codes_; ++m)
      for (int64_t c = 0; c < count_; ++c) {
        float sum = 0;
        for (int64_t d = 0; d < sub_dim_; ++d) {
          const float value = of_code(m)[d * padded_ + c];
          sum += value * value;
        }
        squares.push_back(sum);
      }
    return squares;
  }

 private:
  static constexpr int64_t kTogether = 16;  // that column_scores takes

  const float* of_code(int64_t m) const { return columns_.data() + m * sub_dim_ * padded_; }

  int64_t num_codes_, sub_dim_, count_, padded_;
  std::vector<float> columns_;
};

}  // namespace fastret::cpu
