// Where canonical scores lie in the intervals that a first pass gives their pairs.
#pragma once
#include <cfloat>

#include "axes.h"
#include "definitions.h"
#include "expect.h"
#include "kernels/cpu/scan.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {

using Row = std::vector<float>;
using Wide = long double;

struct Pass {
  const char* name;
  cpu::PassChoice choice;
};

constexpr Pass kInPlace = {"float32 in place", {FirstPass::float32, true}},
               kFloat32 = {"float32", {FirstPass::float32}}, kInt16 = {"int16", {FirstPass::int16}},
               kInt8 = {"int8", {FirstPass::int8}};
constexpr Pass kPackedPasses[] = {kFloat32, kInt16, kInt8};
constexpr Pass kPasses[] = {kInPlace, kFloat32, kInt16, kInt8};

inline Wide dot(const float* a, const float* b, int64_t dim) {
  Wide sum = 0;
  for (int64_t d = 0; d < dim; ++d) sum += Wide(a[d]) * b[d];
  return sum;
}

struct Frame {
  Row centre, direction;
};

inline Frame no_frame(int64_t dim) {
  return {Row(size_t(dim), 0.0f), Row(size_t(dim), 0.0f)};
}

// Some queries against the keys of one panel, as a search scans them.
class Meeting {
 public:
  Meeting(Metric metric, const Pass& pass, const std::vector<Row>& queries, const std::vector<Row>& keys,
          const Frame& frame, const Axes* axes = nullptr)
      : metric_(metric), dim_(int64_t(keys[0].size())), queries_(flat(queries)), keys_(flat(keys)) {
    const Rows q{queries_.data(), int64_t(queries.size()), dim_, dim_, DType::f32};
    const Rows x{keys_.data(), int64_t(keys.size()), dim_, dim_, DType::f32};
    const float *centre = frame.centre.data(), *direction = frame.direction.data();
    std::vector<int32_t> panel(size_t(panel_steps(pass.choice.pass, dim_) * kPanelKeys)), tails(panel);
    std::vector<float> facts(size_t(cpu::kFactsPerPanel)), head_residuals(size_t{kPanelKeys});
    PackedKeys packed{pass.choice.pass, panel.data(), facts.data(), centre, direction, false};
    const PrincipalAxes principal = axes ? axes->view(head_residuals.data(), tails.data()) : PrincipalAxes{};
    if (axes) packed.principal = &principal;
    const cpu::ErrorBound bound =
        pass.choice.in_place ? cpu::ErrorBound::in_place(metric, dim_)
                             : cpu::bound_of(metric, pass.choice.pass, dim_, centre, packed.principal);
    if (pass.choice.in_place)
      facts_in_place(bound, facts.data());
    else
      cpu::KeyPacker(primitives(), x, metric, pass.choice.pass, centre, direction, packed.principal)
          .pack(0, panel.data(), facts.data(), axes ? head_residuals.data() : nullptr,
                axes ? tails.data() : nullptr);
    const cpu::KeySet set(x, metric, {}, pass.choice.in_place ? nullptr : &packed);
    const cpu::QueryBlock block(q, {0, q.rows}, set, {}, threads<1>());
    std::vector<int64_t> numbers;
    for (int64_t i = 0; i < q.rows; ++i)
      if (cpu::fits_first_pass(block.square(i))) numbers.push_back(i);
    const Parallel parallel = threads<1>();
    cpu::Scan scan(set, block, numbers, pass.choice, {0, -FLT_MAX}, parallel);
    scan.run();
    const KeyFacts of(facts.data());
    const auto bounded = std::count_if(of.offset, of.offset + kPanelKeys, [](float x) { return x > -kInf; });
    for (size_t i = 0; i < numbers.size(); ++i) {
      const int64_t number = numbers[i];
      const Wide norm = std::sqrt(block.square(number)), shift = shift_of(number, frame);
      const cpu::QueryBounds& query = scan.bounds(int64_t(i));
      const Sink& kept = scan.kept(int64_t(i));
      if (kept.count != bounded) above = kInf;  // a lost pair is as far away as can be
      for (uint32_t c = 0; c < kept.count; ++c) {
        const int64_t key = kept.places[c];
        const Wide half = bound.half_width(query, of.residual[key], of.norm[key]);
        const Wide middle = kept.uppers[c] + Wide(query.extra) - half;
        meet(number, key, (true_t(number, key, norm, shift) - middle) / half);
      }
    }
  }

  // How far the true values lie above and below the middle of their intervals, in halves of the width: more
  // than 1 is a violation.
  Wide above = 0, below = 0;
  // The pair that comes closest to an end, and how close.
  int64_t query = 0, key = 0;
  Wide reached() const { return std::max(above, below); }

 private:
  static Row flat(const std::vector<Row>& rows) {
    Row all;
    for (const Row& row : rows) all.insert(all.end(), row.begin(), row.end());
    return all;
  }

  void facts_in_place(const cpu::ErrorBound& bound, float* facts) const {
    const int size = int(keys_.size() / size_t(dim_));
    const float *rows[kPanelKeys], *query = queries_.data();
    for (int i = 0; i < kPanelKeys; ++i) rows[i] = keys_.data() + std::min(i, size - 1) * dim_;
    float dots[kPanelKeys], squares[kPanelKeys];
    primitives().row_tile(&query, 1, rows, dim_, dots, squares);
    cpu::in_place_facts(bound, squares, size, facts);
  }

  void meet(int64_t q, int64_t x, Wide position) {
    if (std::abs(position) > reached()) {
      query = q;
      key = x;
    }
    above = std::max(above, position);
    below = std::max(below, -position);
  }

  // What all keys of a query share between t and the score.
  Wide shift_of(int64_t number, const Frame& frame) const {
    const float *q = queries_.data() + number * dim_, *c = frame.centre.data();
    if (metric_ != Metric::l2) return dot(q, c, dim_);
    Wide sum = 0;
    for (int64_t d = 0; d < dim_; ++d) sum += (Wide(q[d]) - c[d]) * (Wide(q[d]) - c[d]);
    return sum;
  }

  // The canonical score in the scale of t.
  Wide true_t(int64_t q, int64_t x, Wide norm, Wide shift) const {
    const Wide score = canonical_score(metric_, queries_.data() + q * dim_, keys_.data() + x * dim_, dim_);
    return metric_ == Metric::l2       ? (shift - score) / 2
           : metric_ == Metric::cosine ? score * norm - shift
                                       : score - shift;
  }

  Metric metric_;
  int64_t dim_;
  Row queries_, keys_;
};

inline void expect_within(Wide reached, Metric metric, const Pass& pass, int64_t dim, const char* rows) {
  expect(reached <= 1, "error bound, ", primitives().name, ", ", kMetricNames[int(metric)], ", ", pass.name,
         ", D ", dim, ", ", rows, ": ", double(reached), " half widths from the middle");
}

}  // namespace fastret::test
