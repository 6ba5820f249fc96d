// Stored vectors in allocations without a spare byte, and value families that are hard to rank.
#pragma once
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "kernels/half.h"
#include "kernels/params.h"

namespace fastret::test {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr DType kDTypes[] = {DType::f32, DType::bf16, DType::f16};
constexpr Metric kMetrics[] = {Metric::inner_product, Metric::cosine, Metric::l2};
constexpr const char* kMetricNames[] = {"ip", "cosine", "l2"};
constexpr const char* kDTypeNames[] = {"float32", "bfloat16", "float16"};

using Random = std::mt19937_64;

inline float uniform(Random& random, float low, float high) {
  return low + (high - low) * float(random() >> 40) * 0x1p-24f;
}

// About normal: the sum of four uniforms.
inline float bell(Random& random) {
  float sum = 0;
  for (int i = 0; i < 4; ++i) sum += uniform(random, -1, 1);
  return sum;
}

// n elements in an allocation that ends with them and begins one element too early to be aligned.
template <class T>
class ExactArray {
 public:
  explicit ExactArray(size_t n) : memory_(new T[n + 1]), size_(n) {}
  T* data() { return memory_.get() + 1; }
  const T* data() const { return memory_.get() + 1; }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<T[]> memory_;
  size_t size_;
};

// Rows of vectors; NaN lies between rows that are further apart than they are wide.
class Vectors {
 public:
  Vectors(int64_t rows, int64_t dim, DType dtype, int64_t gap = 0)
      : rows_(rows),
        dim_(dim),
        stride_(dim + gap),
        dtype_(dtype),
        values_(size_t(rows * dim)),
        wide_(dtype == DType::f32 ? elements() : 0),
        half_(dtype == DType::f32 ? 0 : elements()) {
    for (size_t i = 0; i < wide_.size(); ++i) wide_[i] = kNan;
    for (size_t i = 0; i < half_.size(); ++i) half_[i] = 0xffff;
  }

  // Stores the nearest value of the dtype.
  void set(int64_t row, int64_t d, float value) {
    const size_t at = size_t(row * stride_ + d);
    if (dtype_ == DType::f32) {
      wide_[at] = value;
    } else if (dtype_ == DType::bf16) {
      value = widen_bf16(half_[at] = round_to_bf16(value));
    } else {
      value = widen_f16(half_[at] = round_to_f16(value));
    }
    values_[size_t(row * dim_ + d)] = value;
  }

  int64_t rows() const { return rows_; }
  int64_t dim() const { return dim_; }
  float at(int64_t row, int64_t d) const { return values_[size_t(row * dim_ + d)]; }
  const float* row(int64_t r) const { return values_.data() + r * dim_; }
  Rows view() const {
    const void* data = dtype_ == DType::f32 ? static_cast<const void*>(wide_.data()) : half_.data();
    return {data, rows_, dim_, stride_, dtype_};
  }

 private:
  size_t elements() const { return rows_ ? size_t((rows_ - 1) * stride_ + dim_) : 0; }

  int64_t rows_, dim_, stride_;
  DType dtype_;
  std::vector<float> values_;  // what is stored, as float32
  ExactArray<float> wide_;
  ExactArray<uint16_t> half_;
};

enum class Family { normal, ascending, ties, duplicates, offset, magnitudes, specials, panels };
// All but panels, which differ only where there are many.
constexpr Family kFamilies[] = {Family::normal, Family::ascending,  Family::ties,    Family::duplicates,
                                Family::offset, Family::magnitudes, Family::specials};
constexpr const char* kFamilyNames[] = {"normal", "ascending",  "ties",     "duplicates",
                                        "offset", "magnitudes", "specials", "panels"};

inline void fill(Vectors& vectors, Family family, Random& random) {
  const float specials[] = {kNan, kInf, -kInf, 0.0f, -0.0f, 1e-45f, 3e38f, -1e-38f};
  std::vector<float> first(size_t(vectors.dim()));
  for (float& x : first) x = bell(random);
  for (int64_t r = 0; r < vectors.rows(); ++r) {
    const float scale = std::pow(10.0f, uniform(random, -20, 20));
    const bool special = family == Family::specials && random() % 3 == 0;
    const uint64_t one_in = random() % 2 ? 3 : uint64_t(vectors.dim());
    for (int64_t d = 0; d < vectors.dim(); ++d) {
      float x = bell(random);
      if (family == Family::ascending) x = (1 + 0.1f * x) * float(r + 1);
      if (family == Family::panels) x = (1 + 0.1f * x) * (r / kPanelKeys % 16 ? 1.0f : 10.0f);
      if (family == Family::ties) x = float(int(random() % 3) - 1);
      if (family == Family::duplicates) x = first[size_t(d)] * (1 + float(int(random() % 5) - 2) * 0x1p-23f);
      if (family == Family::offset) x += 1e5f;
      if (family == Family::magnitudes) x *= scale;
      if (special && random() % one_in == 0) x = specials[random() % 8];
      vectors.set(r, d, x);
    }
  }
}

inline bool same_bits(float a, float b) {
  return bits_of_float(a) == bits_of_float(b) || (std::isnan(a) && std::isnan(b));
}

}  // namespace fastret::test
