// pair_scores compared with its definition.
#pragma once
#include <random>
#include <string>
#include <vector>

#include "expectations.h"
#include "kernels/cuda/kernels.h"
#include "matrices.h"

namespace fastret {

inline void check_pair_scores(const char* name, Metric metric, DType dtype, int64_t num_queries,
                              int64_t num_keys, int64_t dim, int64_t num_pairs, Fill fill) {
  std::mt19937 random(17);
  Matrix queries(num_queries, dim, dtype, 3), keys(num_keys, dim, dtype, 1);
  fill(queries, random);
  fill(keys, random);
  queries.store();
  keys.store();
  std::vector<int64_t> ids;
  const int64_t none[] = {-1, num_keys, INT64_MIN, INT64_MAX};
  for (int64_t i = 0; i < num_queries * num_pairs; ++i)
    ids.push_back(num_keys && random() % 3 ? int64_t(random() % uint64_t(num_keys)) : none[random() % 4]);
  std::vector<float> scores(ids.size(), 7.0f);
  const cudaError_t error =
      cuda::pair_scores({queries.view(), keys.view(), ids.data(), num_pairs, metric, scores.data()}, nullptr);
  expect(error == cudaSuccess, std::string(name) + ": launches");
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool exists = ids[i] >= 0 && ids[i] < num_keys;
    const float want =
        exists ? score_of(metric, queries.row(int64_t(i) / num_pairs), keys.row(ids[i]), dim) : kNan;
    expect(same_bits(scores[i], want), std::string(name) + ": pair " + std::to_string(i) + " with key " +
                                           std::to_string(ids[i]) + " is " + std::to_string(scores[i]) +
                                           ", expected " + std::to_string(want));
  }
}

// As l2_rounds_each_step has it: a fused multiply-add changes the last bit.
inline void check_rounding_of_own_pairs() {
  Matrix query(1, 17, DType::f32), key(1, 17, DType::f32);
  query.values[0] = 0x1.4p-27f;
  query.values[16] = 0x1.37b4p+0f;
  key.values[16] = -0x1.525f8cp-23f;
  query.store();
  key.store();
  const int64_t id = 0;
  float score = 0;
  cuda::pair_scores({query.view(), key.view(), &id, 1, Metric::l2, &score}, nullptr);
  expect(score == 0x1.7b86dcp+0f, "the difference, its square and the sum are each rounded");
}

inline void own_pairs() {
  check_rounding_of_own_pairs();
  for (const Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_pair_scores("float32", metric, DType::f32, 19, 45, 131, 3, gaussian);
    check_pair_scores("one pair per query", metric, DType::f32, 7, 45, 16, 1, gaussian);
    check_pair_scores("wild", metric, DType::f32, 9, 40, 3, 7, wild);
    check_pair_scores("float16", metric, DType::f16, 5, 33, 18, 5, gaussian);
    check_pair_scores("bfloat16", metric, DType::bf16, 5, 33, 18, 5, gaussian);
  }
  check_pair_scores("no dimensions", Metric::cosine, DType::f32, 3, 5, 0, 2, gaussian);
  check_pair_scores("no keys", Metric::cosine, DType::f32, 3, 0, 5, 2, gaussian);
  check_pair_scores("no pairs", Metric::cosine, DType::f32, 3, 5, 5, 0, gaussian);
}

}  // namespace fastret
