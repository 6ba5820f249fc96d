// The interval of the first pass must hold the canonical score, whatever the vectors. Hill climbing looks for
// vectors that come close to its ends; rows built for it reach them, so that no part of the bound can be
// smaller.
#include <cstdio>

#include "groups.h"
#include "kernels/rotation.h"
#include "meeting.h"

namespace fastret::test {
namespace {

// ---- Climbing

enum class Start { normal, spiky, along_the_centre, denormal, near_overflow, huge_ratios };
constexpr Start kStarts[] = {Start::normal,   Start::spiky,         Start::along_the_centre,
                             Start::denormal, Start::near_overflow, Start::huge_ratios};
constexpr const char* kStartNames[] = {"normal",   "spiky",         "along the centre",
                                       "denormal", "near overflow", "huge ratios"};

struct Trial {
  Row query, key;
  Frame frame;
};

float power_of_ten(Random& random, float low, float high) {
  return std::pow(10.0f, uniform(random, low, high));
}

Trial start(Start kind, Metric metric, int64_t dim, Random& random) {
  const bool tiny = kind == Start::denormal, ratios = kind == Start::huge_ratios;
  const float root = std::sqrt(float(dim));
  const auto scale = [&] {
    return tiny                           ? power_of_ten(random, -45, -36)
           : kind == Start::near_overflow ? 3e17f / root
           : ratios                       ? power_of_ten(random, -30, 17) / root
                                          : power_of_ten(random, -3, 3);
  };
  const float shared = scale(), apart = power_of_ten(random, -6, 0);
  const float of_centre = ratios ? scale() : shared, of_key = ratios ? scale() : shared, of_query = scale();
  Trial trial{Row(size_t(dim)), Row(size_t(dim)), no_frame(dim)};
  double square = 0;
  for (size_t d = 0; d < size_t(dim); ++d) {
    const float c = of_centre * bell(random);
    trial.frame.centre[d] = c;
    const float shrunk = kind == Start::spiky && random() % 8 ? 1e-3f : 1;
    trial.key[d] = of_key * shrunk * bell(random);
    trial.query[d] = of_query * shrunk * bell(random);
    if (kind == Start::along_the_centre) {
      trial.key[d] = c * (1 + apart * bell(random));
      trial.query[d] = c + apart * apart * shared * bell(random);
    }
    square += double(c) * c;
  }
  const double norm = std::sqrt(square);
  for (size_t d = 0; d < size_t(dim); ++d) {
    float& c = trial.frame.centre[d];
    if (norm > 0) trial.frame.direction[d] = float(c / norm);
    if (metric == Metric::cosine && norm > 0) c = float(c / norm * 0.9);
  }
  return trial;
}

float changed(float value, Random& random) {
  switch (random() % 6) {
    case 0:
      return value * (1 + float(int(random() % 15) - 7) * 0x1p-23f);
    case 1:
      return std::nextafter(value, random() % 2 ? kInf : -kInf);
    case 2:
      return value * 2;
    case 3:
      return value / 2;
    case 4:
      return -value;
    default:
      return value + value * bell(random);
  }
}

Row mutant(Row row, Random& random) {
  for (uint64_t changes = 1 + random() % 3; changes; --changes) {
    float& value = row[random() % row.size()];
    value = changed(value, random);
  }
  return row;
}

Wide climb(Metric metric, const Pass& pass, Trial trial, int steps, Random& random) {
  Wide best = 0;
  for (int step = 0; step < steps; ++step) {
    std::vector<Row> queries{trial.query}, keys{trial.key};
    while (queries.size() < 4) queries.push_back(mutant(trial.query, random));
    while (keys.size() < size_t(kPanelKeys)) keys.push_back(mutant(trial.key, random));
    Frame frame = trial.frame;
    if (step % 3 == 1 && !pass.choice.in_place) frame.centre = mutant(frame.centre, random);
    const Meeting meeting(metric, pass, queries, keys, frame);
    if (meeting.reached() < best) continue;
    best = meeting.reached();
    trial = {queries[size_t(meeting.query)], keys[size_t(meeting.key)], frame};
  }
  return best;
}

Trial start_for(const Pass& pass, Start kind, Metric metric, int64_t dim, Random& random) {
  Trial trial = start(kind, metric, dim, random);
  if (pass.choice.in_place) trial.frame = no_frame(dim);
  return trial;
}

void climb_from_everywhere() {
  for (const Metric metric : kMetrics)
    for (const Pass& pass : kPasses) {
      Random random(11);
      Wide closest = 0;
      for (const int64_t dim : {1, 2, 3, 7, 16, 33, 100})
        for (const Start kind : kStarts) {
          const Wide reached = climb(metric, pass, start_for(pass, kind, metric, dim, random), 20, random);
          expect_within(reached, metric, pass, dim, kStartNames[int(kind)]);
          closest = std::max(closest, reached);
        }
      for (const int64_t dim : {512, 1536, 8192})
        for (const Start kind : kStarts) {
          const Trial trial = start_for(pass, kind, metric, dim, random);
          const Meeting meeting(metric, pass, {trial.query}, {trial.key}, trial.frame);
          expect_within(meeting.reached(), metric, pass, dim, kStartNames[int(kind)]);
        }
      std::printf("  %s, %s, %s: climbing came to %.3f of the bound\n", primitives().name,
                  kMetricNames[int(metric)], pass.name, double(closest));
    }
}

// ---- Rows built to reach the bound

// The row that the rotation of rotation.h turns into this one.
Row rotated_back(std::vector<double> row) {
  const int64_t dim = int64_t(row.size()), size = rotation_block(dim);
  static constexpr RotationSigns signs;
  std::vector<int64_t> offsets;
  for_each_block(dim, [&](int64_t offset) { offsets.insert(offsets.begin(), offset); });
  for (const int64_t offset : offsets) {
    double* block = row.data() + offset;
    for (int64_t half = 1; half < size; half *= 2)
      for (int64_t d = 0; d < size; ++d)
        if (!(d & half)) {
          const double a = block[d], b = block[d + half];
          block[d] = a + b;
          block[d + half] = a - b;
        }
    for (int64_t d = 0; d < size; ++d) block[d] *= signs.signs[d] / std::sqrt(double(size));
  }
  return Row(row.begin(), row.end());
}

Row negated(Row row) {
  for (float& value : row) value = -value;
  return row;
}

Meeting expect_covered(Metric metric, const Pass& pass, std::vector<Row> queries, const Row& key,
                       const Frame& frame, const char* rows) {
  const Meeting meeting(metric, pass, queries, {key}, frame);
  expect_within(meeting.reached(), metric, pass, int64_t(key.size()), rows);
  return meeting;
}

// Both ends: with less, a bound that is a tenth too small would pass unnoticed.
void expect_reached(Metric metric, const Pass& pass, std::vector<Row> queries, const Row& key,
                    const Frame& frame, const char* rows) {
  const Meeting meeting = expect_covered(metric, pass, std::move(queries), key, frame, rows);
  const Wide reached = std::min(meeting.above, meeting.below);
  expect(reached > 0.92L, primitives().name, ", ", kMetricNames[int(metric)], ", ", pass.name, ", D ",
         key.size(), ", ", rows, ": reached only ", double(reached));
}

// Integers of one side hit exactly, the other side's residual parallel to them: Cauchy-Schwarz is an
// equation. D is a square, so that the exact side is whole also in an int16 pass.
void residuals_are_reached() {
  for (const Pass& pass : {kInt16, kInt8})
    for (const Metric metric : kMetrics)
      for (const int64_t dim : {100, 900}) {
        const int key_levels = pass.choice.pass == FirstPass::int16 ? 32767 : 127;
        const int query_levels =
            pass.choice.pass == FirstPass::int16 ? 32767 : primitives().int8_query_levels;
        Random random(3);
        std::vector<double> exact, off_key, off_query;
        for (int64_t d = 0; d < dim; ++d) {
          exact.push_back(random() % 2 ? 1000 : -1000);
          off_key.push_back(d ? exact.back() * 0.49e-3 : key_levels);
          off_query.push_back(d ? exact.back() * 0.49e-3 : query_levels);
        }
        const Row whole = rotated_back(exact);
        expect_reached(metric, pass, {whole, negated(whole)}, rotated_back(off_key), no_frame(dim),
                       "residual of the key");
        const Row off = rotated_back(off_query);
        expect_reached(metric, pass, {off, negated(off)}, whole, no_frame(dim), "residual of the query");
      }
}

// Each addition of the dot product rounds to the same side by all that it can: 1 + 2^-24 becomes 1.
void roundings_of_a_float32_dot_are_reached() {
  for (const Metric metric : kMetrics)
    for (const int64_t dim : {512, 8192}) {
      Row key(size_t(dim), 0x1p-12f * (1 - 0x1p-10f)), query = key;
      key[0] = 1;
      query[0] = metric == Metric::cosine ? 1 + 0x1p-8f : 1;  // the key is shorter than 1 in dimension 0
      expect_reached(metric, kFloat32, {query, negated(query)}, key, no_frame(dim),
                     "roundings of the dot product");
    }
}

// A key at the centre: nothing is left but the rounding of the canonical score.
void the_canonical_rounding_is_reached() {
  for (const Pass& pass : kPackedPasses)
    for (const Metric metric : kMetrics) {
      Frame frame = no_frame(2);
      frame.centre[0] = metric == Metric::cosine ? 1 : 1 + 0x1p-12f;
      std::vector<Row> queries;
      for (int i = 0; i < 4096; ++i) {
        const float step = float(i) * 0x1p-22f;
        queries.push_back(metric == Metric::inner_product ? Row{1 + step, 0}
                          : metric == Metric::cosine      ? Row{1, step}
                                                          : Row{2 + 0x1p-12f + step, 0});
      }
      expect_reached(metric, pass, queries, frame.centre, frame, "canonical rounding");
    }
}

// Products that are too small for float32, and a component whose rounding a huge query multiplies.
void underflow_is_covered() {
  const Row row(8192, (1 - 0x1p-12f) * 0x1p-75f);
  for (const Metric metric : {Metric::inner_product, Metric::l2})
    expect_reached(metric, kFloat32, {row, negated(row)}, row, no_frame(8192), "underflow");
  // A key whose products with this query underflow, of norm 1 all the same.
  expect_covered(Metric::cosine, kInPlace, {{0x1p-113f, 0x1p-112f}}, {0x1.8p-38f, 0x1.8p-38f}, no_frame(2),
                 "underflow");
  for (const Pass& pass : kPackedPasses)
    for (const Metric metric : kMetrics) {
      Frame frame = no_frame(2);
      frame.direction = {0.6f, 0.8f};
      expect_covered(metric, pass, {{6e17f, 8e17f}}, {0x1p-149f, 0}, frame, "underflow of a component");
    }
}

// A query at the centre: nothing is left but the roundings of |y|^2, most of which cannot be made to agree.
void roundings_of_the_squared_norm_are_covered() {
  Frame frame = no_frame(1);
  frame.centre[0] = -0x1.fp-25f;
  for (const Pass& pass : kPackedPasses) {
    Wide reached = 0;
    for (int i = 0; i < 4096; ++i) {
      const Row key{1 + float(i) * 0x1p-23f};
      reached = std::max(
          reached, expect_covered(Metric::l2, pass, {frame.centre}, key, frame, "squared norm").reached());
    }
    expect(reached > 0.3L, primitives().name, ", ", pass.name, ", squared norm: reached only ",
           double(reached));
  }
}

// What the lanes of a sum in place lose, one lane after the other, whatever their number.
void squares_in_place_are_covered() {
  for (const Metric metric : kMetrics)
    for (const int64_t lanes : {4, 8, 16}) {
      const int64_t dim = 8192;
      Row key(size_t(dim), 0x1p-12f * (1 - 0x1p-10f)), query(size_t(dim), 0.0f);
      std::fill_n(key.begin(), lanes, 1.0f);
      query[0] = 1e-6f;
      expect_covered(metric, kInPlace, {query, key}, key, no_frame(dim), "lanes of a square");
    }
}

// All elements as large as they can be, and of one sign: sums that overflow would be far from the truth.
void integer_sums_do_not_overflow() {
  for (const Pass& pass : {kInt16, kInt8})
    for (const double sign : {1.0, -1.0}) {
      const int64_t dim = cpu::dim_limit(pass.choice.pass);
      const Row key = rotated_back(std::vector<double>(size_t(dim), 1));
      const Row query = rotated_back(std::vector<double>(size_t(dim), sign));
      expect_covered(Metric::inner_product, pass, {query}, key, no_frame(dim), "largest integers");
    }
}

// Axes that are not orthogonal, and rows without any residual: nothing is left but the defect.
void defects_of_axes_are_covered() {
  for (const Metric metric : kMetrics)
    for (const double stretch : {0.0, 4e-4}) {
      const int64_t dim = 48;
      const Axes axes(dim, 16, stretch);
      Random random(5);
      for (int trial = 0; trial < 50; ++trial) {
        const Row query = start(Start::normal, metric, dim, random).query;
        const Meeting meeting(metric, kInt8, {query, negated(query)}, {query}, no_frame(dim), &axes);
        expect_within(meeting.reached(), metric, kInt8, dim, "axes");
      }
      // A row that the axes turn into equal elements: the axes are a reflection, which undoes itself.
      const PrincipalAxes view = axes.view(nullptr, nullptr);
      Row even(size_t(dim), 0.0f);
      for (int64_t d = 0; d < dim; ++d)
        for (int64_t i = 0; i < dim; ++i)
          even[size_t(d)] += view.axes[(i / kPanelKeys * dim + d) * kPanelKeys + i % kPanelKeys];
      const Meeting meeting(metric, kInt8, {even, negated(even)}, {even}, no_frame(dim), &axes);
      expect_within(meeting.reached(), metric, kInt8, dim, "axes and equal elements");
    }
}

// The one product that stands for two, for any norms; where both of its factors agree it is not larger.
void heads_are_covered() {
  Random random(6);
  const cpu::ErrorBound bound = cpu::ErrorBound::with_axes(Metric::inner_product, 48, 0, 1e-6);
  const auto check = [&](float norm, float residual, double query_tail, double key_tail) {
    const cpu::QueryBounds query{{1, 0, norm, 0}, 0};
    const cpu::KeyBounds key{1, residual, norm, 0, 0};
    const Wide needed =
        Wide(norm) * residual + (Wide(query_tail) + 1e-6L * norm) * (Wide(key_tail) + 1e-6L * norm);
    const Wide given = Wide(bound.head_norm(query, query_tail)) * bound.head_residual(key, key_tail);
    expect_within(needed / given, Metric::inner_product, kInt8, 48, "heads");
    return needed / given;
  };
  for (int trial = 0; trial < 1000; ++trial) {
    const float norm = power_of_ten(random, -10, 10);
    check(norm, norm * power_of_ten(random, -4, 0), norm * power_of_ten(random, -6, 0),
          norm * power_of_ten(random, -6, 0));
  }
  const Wide reached = check(1, 1 / 64.0f, 0.5, 0.5);
  expect(reached > 0.99L, "heads: reached only ", double(reached));
}

}  // namespace

void test_error_bound() {
  heads_are_covered();
  for (const char* const* name = available_isas(); *name; ++name) {
    use_isa(*name);
    climb_from_everywhere();
    residuals_are_reached();
    roundings_of_a_float32_dot_are_reached();
    the_canonical_rounding_is_reached();
    roundings_of_the_squared_norm_are_covered();
    underflow_is_covered();
    squares_in_place_are_covered();
    integer_sums_do_not_overflow();
    defects_of_axes_are_covered();
  }
}

}  // namespace fastret::test
