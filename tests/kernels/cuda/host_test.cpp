// The CUDA kernels on the simulator (simt.h), compared bit for bit with plain definitions. Usage: host_test
// CASE.
#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "expectations.h"
#include "kernels/cuda/kernels.h"
#include "matrices.h"
#include "pair_scores_cases.h"
#include "run_cases.h"
#include "unit_rows_cases.h"

using namespace fastret;

namespace {

void check_pairs(const char* name, Metric metric, DType dtype, DType out, int64_t num_queries,
                 int64_t num_keys, int64_t dim, Fill fill) {
  constexpr int64_t batch = 2;
  std::mt19937 random(13);
  Matrix queries(batch * num_queries, dim, dtype, 3), keys(batch * num_keys, dim, dtype, 1);
  fill(queries, random);
  fill(keys, random);
  queries.store();
  keys.store();
  Matrix scores(batch * num_queries, num_keys, out);
  scores.store();
  Rows query_view = queries.view(), key_view = keys.view();
  query_view.rows = num_queries;
  key_view.rows = num_keys;
  const cudaError_t error =
      cuda::pairwise_scores({query_view, key_view, metric, scores.raw.data(), out},
                            {batch, num_queries * queries.stride, num_keys * keys.stride}, nullptr);
  expect(error == cudaSuccess, std::string(name) + ": launches");
  Matrix expected(batch * num_queries, num_keys, out);
  for (int64_t q = 0; q < batch * num_queries; ++q)
    for (int64_t n = 0; n < num_keys; ++n)
      expected.values[size_t(q * num_keys + n)] =
          score_of(metric, queries.row(q), keys.row(q / num_queries * num_keys + n), dim);
  expected.store();
  for (size_t i = 0; i < expected.values.size(); ++i) {
    float score = 0;
    uint16_t half = 0;
    if (out == DType::f32) {
      std::memcpy(&score, scores.raw.data() + 4 * i, 4);
    } else {
      std::memcpy(&half, scores.raw.data() + 2 * i, 2);
      score = out == DType::bf16 ? widen_bf16(half) : widen_f16(half);
    }
    expect(same_bits(score, expected.values[i]), std::string(name) + ": pair " + std::to_string(i) + " is " +
                                                     std::to_string(score) + ", expected " +
                                                     std::to_string(expected.values[i]));
  }
}

void pairs() {
  for (Metric metric : {Metric::inner_product, Metric::cosine, Metric::l2}) {
    check_pairs("float32", metric, DType::f32, DType::f32, 19, 45, 131, gaussian);
    check_pairs("wild", metric, DType::f32, DType::f32, 9, 40, 3, wild);
    check_pairs("halves", metric, DType::f16, DType::bf16, 5, 33, 18, gaussian);
    check_pairs("bfloat16", metric, DType::bf16, DType::f16, 5, 33, 18, gaussian);
  }
  check_pairs("no dimensions", Metric::cosine, DType::f32, DType::f32, 3, 5, 0, gaussian);
  check_pairs("no keys", Metric::cosine, DType::f32, DType::f32, 3, 0, 5, gaussian);
}

// 1.25^2 2^-54 + (q - x)^2 rounds to the float32 below when the square is rounded first, as canonical.h
// demands, and to the float32 above under a fused multiply-add.
void l2_rounds_each_step() {
  Matrix query(1, 17, DType::f32), key(1, 17, DType::f32);
  query.values[0] = 0x1.4p-27f;
  query.values[16] = 0x1.37b4p+0f;
  key.values[16] = -0x1.525f8cp-23f;
  query.store();
  key.store();
  float score = 0;
  cuda::pairwise_scores({query.view(), key.view(), Metric::l2, &score, DType::f32}, {1, 17, 17}, nullptr);
  expect(score == 0x1.7b86dcp+0f, "the difference, its square and the sum are each rounded");
}

}  // namespace

int main(int argc, char** argv) {
  constexpr Case cases[] = {
      {"pairs", pairs},
      {"own_pairs", own_pairs},
      {"unit_rows", unit_rows_forward},
      {"unit_rows_backward", unit_rows_backward},
      {"l2_rounds_each_step", l2_rounds_each_step},
  };
  return run_cases(cases, argc, argv);
}
