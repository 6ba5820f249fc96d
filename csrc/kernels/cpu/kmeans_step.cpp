#include "kernels/cpu/kmeans_step.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/code_primitives.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/isa.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kRowsTogether = 64;

// Every so-many-th row makes the centre: about this many in all.
constexpr int64_t kCentreRows = 256;

// Centroids less the centre of the rows, so that products stay exact enough far from the origin: [D, K up to
// a multiple of 16]. Those beyond K are infinitely far.
class CentredColumns {
 public:
  explicit CentredColumns(const KMeansStepParams& p)
      : dim_(p.dim),
        padded_((p.num_clusters + 15) / 16 * 16),
        centre_(size_t(p.dim)),
        columns_(size_t(p.dim * padded_)),
        halves_(size_t(padded_), std::numeric_limits<float>::infinity()) {
    centre_on_rows(p);
    for (int64_t c = 0; c < p.num_clusters; ++c) {
      double square = 0;
      for (int64_t d = 0; d < dim_; ++d) {
        const float x = p.centroids[c * dim_ + d] - centre_[size_t(d)];
        columns_[size_t(d * padded_ + c)] = x;
        square += double(x) * double(x);
      }
      halves_[size_t(c)] = float(square / 2);
    }
  }

  // The nearest columns of so many rows; `centred` holds kRowsTogether rows.
  void nearest(const float* rows, int64_t count, float* centred, int32_t* found) const {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t d = 0; d < dim_; ++d) centred[i * dim_ + d] = rows[i * dim_ + d] - centre_[size_t(d)];
    primitives().codes->nearest_columns(centred, count, columns_.data(), halves_.data(), dim_, padded_,
                                        found);
  }

 private:
  // The mean of some rows, on a grid about as wide as these rows differ from it: whole numbers stay whole,
  // and equally near centroids equally near.
  void centre_on_rows(const KMeansStepParams& p) {
    const int64_t stride = std::max<int64_t>(1, p.count / kCentreRows);
    std::vector<double> mean(size_t(dim_), 0.0);
    const auto each = [&](auto&& visit) {
      for (int64_t i = 0; i < p.count; i += stride)
        for (int64_t d = 0; d < dim_; ++d) visit(mean[size_t(d)], double(p.rows[i * dim_ + d]));
    };
    each([](double& sum, double x) { sum += x; });
    for (double& sum : mean) sum /= double(std::max<int64_t>(1, (p.count + stride - 1) / stride));
    double spread = 0;
    bool finite = true;
    each([&](double centre, double x) {
      const double off = std::abs(x - centre);
      finite = finite && std::isfinite(off);
      spread = std::max(spread, off);
    });
    int exponent;
    std::frexp(spread, &exponent);
    const double grid = finite && spread > 0 ? std::ldexp(1.0, exponent - 1) : 0;
    for (int64_t d = 0; d < dim_; ++d) {
      const double centre = mean[size_t(d)];
      centre_[size_t(d)] = float(grid > 0 ? std::nearbyint(centre / grid) * grid : centre);
    }
  }

  int64_t dim_, padded_;
  std::vector<float> centre_, columns_, halves_;
};

float squared_l2(const float* a, const float* b, int64_t dim) {
  float sum = 0;
  for (int64_t d = 0; d < dim; ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
  return sum;
}

// The mean of the rows of a cluster, which `order` names from begin to end.
void mean_of(const KMeansStepParams& p, const int32_t* begin, const int32_t* end, int64_t cluster) {
  float* mean = p.means + cluster * p.dim;
  std::fill_n(mean, p.dim, 0.0f);
  double weight = 0;
  for (const int32_t* i = begin; i < end; ++i) {
    const float* row = p.rows + *i * p.dim;
    const float mine = p.weights ? p.weights[*i] : 1;
    weight += double(mine);
    for (int64_t d = 0; d < p.dim; ++d) mean[d] += mine * row[d];
  }
  p.sizes[cluster] = end - begin;
  p.mean_weights[cluster] = float(weight);
  const float inverse = p.mean_weights[cluster] == 0 ? 1 : 1 / p.mean_weights[cluster];
  for (int64_t d = 0; d < p.dim; ++d) mean[d] *= inverse;
}

}  // namespace

void kmeans_step(const KMeansStepParams& p, const Parallel& parallel) {
  const DefaultFloatEnvironment environment;
  const CentredColumns columns(p);
  std::vector<int32_t> nearest(size_t(p.count)), order(size_t(p.count));
  std::vector<float> distances(size_t(p.count));
  parallel(p.count, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment threads_own;
    std::vector<float> centred(size_t(kRowsTogether * p.dim));
    for (int64_t i = begin; i < end; i += kRowsTogether)
      columns.nearest(p.rows + i * p.dim, std::min(kRowsTogether, end - i), centred.data(),
                      &nearest[size_t(i)]);
    for (int64_t i = begin; i < end; ++i)
      distances[size_t(i)] = squared_l2(p.rows + i * p.dim, p.centroids + nearest[size_t(i)] * p.dim, p.dim);
  });

  std::vector<int64_t> ends(size_t(p.num_clusters + 1), 0);  // of clusters in `order`, once it is filled
  for (const int32_t cluster : nearest) ++ends[size_t(cluster) + 1];
  for (int64_t c = 0; c < p.num_clusters; ++c) ends[size_t(c + 1)] += ends[size_t(c)];
  for (int64_t i = 0; i < p.count; ++i) order[size_t(ends[size_t(nearest[size_t(i)])]++)] = int32_t(i);
  *p.objective = 0;
  for (const float distance : distances) *p.objective += distance;
  parallel(p.num_clusters, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment threads_own;
    for (int64_t c = begin; c < end; ++c)
      mean_of(p, order.data() + (c ? ends[size_t(c - 1)] : 0), order.data() + ends[size_t(c)], c);
  });
}

}  // namespace fastret::cpu
