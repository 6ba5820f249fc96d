// Vectors in the layouts and with the values that the tests of the CUDA kernels use.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/half.h"
#include "kernels/params.h"

namespace fastret {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Vectors as float32 and as they are stored: `padding` more elements between rows, and a guarded end.
struct Matrix {
  int64_t rows, dim, stride;
  DType dtype;
  std::vector<float> values;       // [rows, dim], exactly what is stored
  std::vector<unsigned char> raw;  // [rows, stride] of dtype; no byte beyond the last row's last element

  Matrix(int64_t rows, int64_t dim, DType dtype, int64_t padding = 0)
      : rows(rows), dim(dim), stride(dim + padding), dtype(dtype), values(size_t(rows * dim)) {}

  int64_t element_bytes() const { return dtype == DType::f32 ? 4 : 2; }

  void store() {
    raw.assign(size_t(rows ? ((rows - 1) * stride + dim) * element_bytes() : 0),
               0xff);  // 0xff..: NaN between rows
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t d = 0; d < dim; ++d) {
        float& value = values[size_t(r * dim + d)];
        unsigned char* target = raw.data() + (r * stride + d) * element_bytes();
        if (dtype == DType::f32) {
          std::memcpy(target, &value, 4);
        } else {
          const uint16_t bits = dtype == DType::bf16 ? round_to_bf16(value) : round_to_f16(value);
          std::memcpy(target, &bits, 2);
          value = dtype == DType::bf16 ? widen_bf16(bits) : widen_f16(bits);
        }
      }
  }

  Rows view() const { return {raw.data(), rows, dim, stride, dtype}; }
  const float* row(int64_t r) const { return values.data() + r * dim; }
};

using Fill = void (*)(Matrix&, std::mt19937&);

inline void gaussian(Matrix& m, std::mt19937& random) {
  std::normal_distribution<float> normal;
  for (float& v : m.values) v = normal(random);
}

inline void few_integers(Matrix& m, std::mt19937& random) {
  for (float& v : m.values) v = float(int(random() % 3) - 1);
}

inline void all_equal(Matrix& m, std::mt19937&) {
  std::fill(m.values.begin(), m.values.end(), 0.5f);
}

// Every key beats those before it for a query of positive values: each chunk's keys all become candidates.
inline void rising(Matrix& m, std::mt19937&) {
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t d = 0; d < m.dim; ++d) m.values[size_t(r * m.dim + d)] = float(r + 1);
}

inline void falling(Matrix& m, std::mt19937&) {
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t d = 0; d < m.dim; ++d) m.values[size_t(r * m.dim + d)] = float(m.rows - r);
}

inline void wild(Matrix& m, std::mt19937& random) {
  const float specials[] = {0.0f, -0.0f, kInf, -kInf, kNan, 3e38f, -3e38f, 1e-45f, 1.0f, -1.0f};
  for (float& v : m.values) v = random() % 4 ? float(int(random() % 5) - 2) : specials[random() % 10];
}

inline void mostly_nan(Matrix& m, std::mt19937& random) {
  for (float& v : m.values) v = random() % 8 ? kNan : float(random() % 4);
}

// Rows of norms from far below to far beyond what the first pass takes, and some of them zero.
inline void any_norm(Matrix& m, std::mt19937& random) {
  std::normal_distribution<float> normal;
  const float norms[] = {1.0f, 1e-3f, 30.0f, 1e-12f, 1e15f, 1e25f, 1e-40f, 0.0f, 3.3953e38f};
  for (int64_t r = 0; r < m.rows; ++r) {
    const float norm = random() % 3 ? 1.0f : norms[random() % 9];
    for (int64_t d = 0; d < m.dim; ++d)
      m.values[size_t(r * m.dim + d)] = norm == norms[8] ? norm : norm * normal(random);
  }
}

inline void duplicates_apart_by(float distance, Matrix& m, std::mt19937& random) {
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t d = 0; d < m.dim; ++d)
      m.values[size_t(r * m.dim + d)] =
          (d % 2 ? 1.0f : -0.5f) + float(int(random() % 2000) - 1000) * distance;
}

// Rows of which bfloat16 tells only some apart.
inline void close_duplicates(Matrix& m, std::mt19937& random) {
  duplicates_apart_by(1e-4f, m, random);
}

// Rows that differ by less than bfloat16 tells, but not than two of them do.
inline void near_duplicates(Matrix& m, std::mt19937& random) {
  duplicates_apart_by(1e-6f, m, random);
}

// Rows that differ by less than any scan tells.
inline void nearer_duplicates(Matrix& m, std::mt19937& random) {
  duplicates_apart_by(1e-9f, m, random);
}

inline void signed_zeros(Matrix& m, std::mt19937& random) {
  for (float& v : m.values) v = random() % 2 ? 0.0f : -0.0f;
}

}  // namespace fastret
