// A work for search and range_search: vectors, a filter, and every key's canonical score for every query; for
// search also ceilings.
#pragma once
#include "definitions.h"
#include "kernels/cpu/kernels.h"
#include "vectors.h"

namespace fastret::test {

struct Shape {
  int64_t num_queries, num_keys, dim;
  Metric metric;
  Family family;
  DType query_dtype = DType::f32, key_dtype = DType::f32;
  bool filtered = false;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << kMetricNames[int(s.metric)] << ", " << kFamilyNames[int(s.family)] << ", Q " << s.num_queries
             << ", N " << s.num_keys << ", D " << s.dim << ", " << kDTypeNames[int(s.query_dtype)] << " x "
             << kDTypeNames[int(s.key_dtype)] << (s.filtered ? ", filtered" : "");
}

class Work {
 public:
  Work(const Shape& shape, uint64_t seed)
      : shape(shape),
        queries(shape.num_queries, shape.dim, shape.query_dtype, 3),
        keys(shape.num_keys, shape.dim, shape.key_dtype, int64_t(seed % 2)) {
    Random random(seed);
    fill(keys, shape.family, random);
    fill(queries, shape.family, random);
    if (shape.filtered) {
      allowed_.reset(new bool[size_t(shape.num_keys)]);
      const uint64_t one_in = seed % 3 ? 2 : 40;
      for (int64_t key = 0; key < shape.num_keys; ++key)
        allowed_[size_t(key)] = (random() % one_in == 0) == (seed % 2 == 0);
      for (int64_t e = 0; e < shape.num_queries * kExcluded; ++e)
        excluded_.push_back(random() % 4 ? int64_t(random() % uint64_t(shape.num_keys)) : -1);
      for (int64_t q = 0; q < shape.num_queries; ++q) query_labels_.push_back(int64_t(random() % kLabels));
      for (int64_t key = 0; key < shape.num_keys; ++key) key_labels_.push_back(int64_t(random() % kLabels));
    }
    scores.resize(size_t(shape.num_queries));
    for (int64_t q = 0; q < shape.num_queries; ++q)
      for (int64_t key = 0; key < shape.num_keys; ++key)
        scores[size_t(q)].push_back(
            found(q, key) ? canonical_score(shape.metric, queries.row(q), keys.row(key), shape.dim) : kNan);
    for (const std::vector<float>& row : scores)
      if (shape.filtered)
        ceilings.push_back(random() % 5 ? row[random() % row.size()] : special_ceiling(random));
  }

  KeyFilter filter() const {
    if (!shape.filtered) return {};
    return {allowed_.get(), excluded_.data(), kExcluded, query_labels_.data(), key_labels_.data()};
  }

  const Shape shape;
  Vectors queries, keys;
  std::vector<std::vector<float>> scores;  // [Q, N], NaN where the filter forbids the key
  std::vector<float> ceilings;             // [Q] where filtered: scores of keys, NaN and infinities

 private:
  static constexpr int64_t kExcluded = 5;
  static constexpr uint64_t kLabels = 4;

  static float special_ceiling(Random& random) {
    const float specials[] = {kNan, kInf, -kInf, 0.0f};
    return specials[random() % 4];
  }

  bool found(int64_t q, int64_t key) const {
    if (!shape.filtered) return true;
    if (query_labels_[size_t(q)] == key_labels_[size_t(key)]) return false;
    const auto* row = excluded_.data() + q * kExcluded;
    return allowed_[size_t(key)] && std::find(row, row + kExcluded, key) == row + kExcluded;
  }

  std::unique_ptr<bool[]> allowed_;
  std::vector<int64_t> excluded_, query_labels_, key_labels_;
};

}  // namespace fastret::test
