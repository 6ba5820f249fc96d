// The interval of the first pass must hold the canonical score, whatever the vectors. Random starts and hill
// climbing look for vectors that come as close to its ends as they can.
#include <cstdio>

#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/cpu/first_pass.h"
#include "vectors.h"

namespace fastret::test {
namespace {

struct Trial {
  std::vector<float> query, key, centre;
};

using Wide = long double;

Wide dot(const float* a, const float* b, int64_t dim) {
  Wide sum = 0;
  for (int64_t d = 0; d < dim; ++d) sum += Wide(a[d]) * b[d];
  return sum;
}

// How far the canonical score lies from the middle of the interval, in halves of its width: more than 1 is a
// violation. As BlockSearch::pack_queries and scan_tile compute it, for one query and one key.
Wide distance_from_the_middle(const Primitives& isa, Metric metric, const Trial& trial) {
  const int64_t dim = int64_t(trial.query.size());
  const float* q = trial.query.data();
  const float* x = trial.key.data();
  const std::vector<float>& c = trial.centre;
  const double query_square = canonical_square(q, dim), key_square = canonical_square(x, dim);
  if (!cpu::fits_first_pass(query_square) || !cpu::fits_first_pass(key_square)) return 0;

  const Rows keys{x, 1, dim, dim, DType::f32}, queries{q, 1, dim, dim, DType::f32};
  const SearchParams params{queries, keys, metric, 1, nullptr, nullptr};
  const cpu::ErrorBound bound(metric, dim, std::sqrt(canonical_square(c.data(), dim)));
  cpu::KeyBlock block(isa, params, c, bound, 1);
  std::vector<int64_t> unbounded;
  block.pack(0, 1, unbounded);

  const std::vector<float> origin(size_t(dim), 0.0f);
  std::vector<float> packed(size_t(dim), 0.0f);
  const float* shift = (metric == Metric::l2 ? c : origin).data();
  const double centred_square = isa.centre_row(q, 1.0, shift, dim, packed.data());
  const float norm = bound.query_norm(std::sqrt(query_square), std::sqrt(centred_square));
  const double extra = bound.query_extra(norm);
  float dots[kMaxTileKeys], uppers[kMaxTileKeys];
  isa.dot_tile(packed.data(), 1, block.panel(0), dim, dots);
  isa.filter(dots, norm, block.slopes(0), block.offsets(0), -kInf, uppers);
  const Wide half_width = Wide(block.half_width(0, 0, norm)) + extra;

  // The canonical score on the scale of the pass (first_pass.h), less the extra that all keys of a query
  // share.
  const Wide score = canonical_score(metric, q, x, dim);
  Wide rank;
  if (metric == Metric::inner_product) {
    rank = score - dot(q, c.data(), dim);
  } else if (metric == Metric::cosine) {
    rank = score * std::sqrt(dot(q, q, dim)) - dot(q, c.data(), dim);
  } else {
    Wide from_centre = 0;
    for (int64_t d = 0; d < dim; ++d)
      from_centre += (Wide(q[d]) - c[size_t(d)]) * (Wide(q[d]) - c[size_t(d)]);
    rank = (from_centre - score) / 2;
  }
  const Wide middle = Wide(uppers[0]) - half_width;
  return std::abs(rank - extra - middle) / half_width;
}

Trial start(Metric metric, int64_t dim, Random& random) {
  Trial trial;
  const float spread = std::pow(10.0f, uniform(random, -9, 9));  // of the keys around their centre
  const float apart = std::pow(10.0f, uniform(random, -6, 1));
  for (int64_t d = 0; d < dim; ++d) {
    const float c = random() % 3 ? spread * bell(random) : 0.0f;
    const float x = c + spread * apart * bell(random);
    trial.centre.push_back(metric == Metric::cosine ? c / spread : c);
    trial.key.push_back(x);
    trial.query.push_back(random() % 2 ? bell(random) : x * (1 + apart * bell(random)));
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

Wide climb(const Primitives& isa, Metric metric, Trial trial, int steps, Random& random) {
  Wide best = distance_from_the_middle(isa, metric, trial);
  for (int step = 0; step < steps; ++step) {
    Trial next = trial;
    std::vector<float>* vectors[] = {&next.query, &next.key, &next.centre};
    for (int changes = 1 + int(random() % 3); changes; --changes) {
      std::vector<float>& vector = *vectors[random() % 3];
      float& value = vector[random() % vector.size()];
      value = changed(value, random);
    }
    const Wide distance = distance_from_the_middle(isa, metric, next);
    if (distance < best) continue;
    best = distance;
    trial = std::move(next);
  }
  return best;
}

void report(const char* isa, Metric metric, const Trial& trial, Wide distance) {
  expect(distance <= 1, "error bound, ", isa, ", ", kMetricNames[int(metric)], ", D ", trial.query.size(),
         ": ", double(distance), " half widths from the middle");
}

}  // namespace

void test_error_bound() {
  for (const char* const* name = available_isas(); *name; ++name) {
    use_isa(*name);
    const Primitives& isa = primitives();
    for (const Metric metric : kMetrics) {
      Random random(11);
      Wide closest = 0;
      for (const int64_t dim : {1, 2, 3, 8, 20})
        for (int restart = 0; restart < 12; ++restart) {
          const Trial trial = start(metric, dim, random);
          const Wide distance = climb(isa, metric, trial, 400, random);
          report(*name, metric, trial, distance);
          closest = std::max(closest, distance);
        }
      for (int restart = 0; restart < 30; ++restart) {
        const Trial trial = start(metric, 300, random);
        report(*name, metric, trial, distance_from_the_middle(isa, metric, trial));
      }
      std::printf("  %s, %s: the closest came to %.3f of the bound\n", *name, kMetricNames[int(metric)],
                  double(closest));
      // A search that stays in the middle would not notice a bound that is too small. Where one rounding to
      // float32 outweighs the rest, it takes all of the interval for ip, half of it for cosine (whose scores
      // of large error are near 1/2) and 1/2.2 for l2.
      const Wide reached = metric == Metric::inner_product ? 0.8L : metric == Metric::cosine ? 0.3L : 0.4L;
      expect(closest > reached, *name, ", ", kMetricNames[int(metric)],
             ": the search for bad vectors reached only ", double(closest));
    }
  }
}

}  // namespace fastret::test
