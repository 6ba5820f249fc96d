#include "kernels/cpu/kmeans_steps.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/nearest_columns.h"
#include "kernels/cpu/row_sums.h"
#include "kernels/cpu/rows.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kRowsTogether = 10 * kRowsPerTile;

// The median of so many rows in each dimension, which no outlier moves: products of what is left of rows and
// centroids lose fewer digits.
constexpr int64_t kCentreRows = 15;

std::vector<float> centre_of(const KMeansParams& p) {
  std::vector<float> centre(size_t(p.dim), 0.0f);
  const int64_t some = std::min(kCentreRows, p.count), stride = std::max<int64_t>(1, p.count / kCentreRows);
  for (int64_t d = 0; some && d < p.dim; ++d) {
    float values[kCentreRows];
    for (int64_t i = 0; i < some; ++i) {
      const float x = p.rows[i * stride * p.dim + d];
      values[i] = std::isfinite(x) ? x : 0;
    }
    std::nth_element(values, values + some / 2, values + some);
    centre[size_t(d)] = values[some / 2];
  }
  return centre;
}

// Whether the first pass's nearest column c of a row x, both less the centre, is so in truth, and its float32
// distance smaller than any other.
//
// Whatever is as near as c has a norm of at most |x| + |x - c|, which `reach` exceeds, and so does c. Each
// value |c|^2 / 2 - x.c is then off by at most u ((D + 4) |x| + 2 reach) reach, u = 2^-24: D + 1 roundings of
// the products, their sum and the value (Higham: Accuracy and stability of numerical algorithms, 2002, 3.1),
// 2 of the differences from the centre. A float32 distance is off by half of u reach^2, in units of the
// values.
bool is_certain(const NearestColumn& found, double norm, int64_t dim) {
  constexpr double kRounding = 0x1.2p-24;  // u, and an eighth for terms of its square
  const double reach = 1.25 * (norm + std::sqrt(std::max(0.0, norm * norm + 2 * double(found.smallest))));
  const double margin = kRounding * reach * (2 * double(dim + 4) * norm + 5 * reach) + double(dim) * 0x1p-148;
  // Neither so many roundings that reach fails, nor products or distances that overflow.
  return dim < 1 << 16 && norm * reach < 1e37 && reach * reach < 1e37 &&
         double(found.second) - double(found.smallest) > margin;
}

// Finds the nearest centroids: a first pass in float32 over rows and centroids less a centre of the rows, and
// where it leaves a doubt, canonical distances.
class NearestCentroids {
 public:
  NearestCentroids(const KMeansParams& p)
      : p_(p),
        panels_((p.num_clusters + kColumnsPerPanel - 1) / kColumnsPerPanel),
        centre_(centre_of(p)),
        norms_(size_t(p.count)),
        columns_(size_t(p.dim * panels_ * kColumnsPerPanel)),
        // Columns beyond the last centroid are infinitely far.
        halves_(size_t(panels_ * kColumnsPerPanel), std::numeric_limits<float>::infinity()) {}

  void hold(const float* centroids) {
    centroids_ = centroids;
    for (int64_t c = 0; c < p_.num_clusters; ++c) {
      float* column =
          &columns_[size_t(c / kColumnsPerPanel * p_.dim * kColumnsPerPanel + c % kColumnsPerPanel)];
      double square = 0;
      for (int64_t d = 0; d < p_.dim; ++d) {
        const float x = centroids[c * p_.dim + d] - centre_[size_t(d)];
        column[d * kColumnsPerPanel] = x;
        square += double(x) * double(x);
      }
      halves_[size_t(c)] = float(square / 2);
    }
  }

  // Of rows begin ... end - 1; -1 where no distance is finite. The norms of rows are kept from the first call
  // on.
  void find(int64_t begin, int64_t end, bool first_call, int32_t* nearest) {
    const NearestColumns nearest_of = nearest_columns();
    const RowSums sums = row_sums();
    const int64_t dim = p_.dim;
    std::vector<float> centred(size_t(kRowsTogether * dim));
    NearestColumn found[kRowsTogether];
    for (int64_t first = begin; first < end; first += kRowsTogether) {
      const int64_t together = std::min(kRowsTogether, end - first);
      for (int64_t i = 0; i < together; ++i)
        for (int64_t d = 0; d < dim; ++d)
          centred[size_t(i * dim + d)] = p_.rows[(first + i) * dim + d] - centre_[size_t(d)];
      for (int64_t i = 0; first_call && i < together; ++i) {
        const float* row = &centred[size_t(i * dim)];
        float square;
        sums(Term::product, row, &row, 1, dim, &square);
        norms_[size_t(first + i)] = 1.01f * std::sqrt(square);
      }
      const int64_t whole_tiles = (together + kRowsPerTile - 1) / kRowsPerTile * kRowsPerTile;
      nearest_of(centred.data(), whole_tiles, {columns_.data(), halves_.data(), dim, panels_}, found);
      for (int64_t i = 0; i < together; ++i)
        nearest[first + i] = is_certain(found[i], double(norms_[size_t(first + i)]), dim)
                                 ? found[i].column
                                 : canonical(p_.rows + (first + i) * dim);
    }
  }

 private:
  int32_t canonical(const float* row) const {
    float smallest = std::numeric_limits<float>::infinity();
    int32_t nearest = -1;
    for (int64_t first = 0; first < p_.num_clusters; first += kRowsPerCall) {
      const float* centroids[kRowsPerCall];
      float distances[kRowsPerCall];
      const int together = int(std::min<int64_t>(kRowsPerCall, p_.num_clusters - first));
      for (int i = 0; i < together; ++i) centroids[i] = centroids_ + (first + i) * p_.dim;
      score_keys(Metric::l2, row, 0.0, centroids, nullptr, together, p_.dim, distances);
      for (int i = 0; i < together; ++i)
        if (distances[i] < smallest) {
          smallest = distances[i];
          nearest = int32_t(first + i);
        }
    }
    return nearest;
  }

  const KMeansParams& p_;
  int64_t panels_;
  std::vector<float> centre_, norms_, columns_, halves_;
  const float* centroids_ = nullptr;
};

// The mean of the rows of a cluster, which `order` names from begin to end, and their distances.
void mean_of(const KMeansParams& p, const float* centroid, const int32_t* begin, const int32_t* end,
             int64_t cluster, float* distances) {
  constexpr int64_t kTogether = 4 * kRowsInFlight;
  const RowSums sums = row_sums();
  float* mean = p.means + cluster * p.dim;
  std::fill_n(mean, p.dim, 0.0f);
  double weight = 0;
  while (begin < end) {
    const float* rows[kTogether];
    float found[kTogether];
    const int64_t together = std::min<int64_t>(kTogether, end - begin);
    for (int64_t i = 0; i < together; ++i) rows[i] = p.rows + begin[i] * p.dim;
    sums(Term::squared_difference, centroid, rows, together, p.dim, found);
    for (int64_t i = 0; i < together; ++i) {
      distances[begin[i]] = found[i];
      const float mine = p.weights ? p.weights[begin[i]] : 1;
      weight += double(mine);
      for (int64_t d = 0; d < p.dim; ++d) mean[d] += mine * rows[i][d];
    }
    begin += together;
  }
  p.mean_weights[cluster] = float(weight);
  const float inverse = p.mean_weights[cluster] == 0 ? 1 : 1 / p.mean_weights[cluster];
  for (int64_t d = 0; d < p.dim; ++d) mean[d] *= inverse;
}

}  // namespace

int64_t kmeans_steps(const KMeansParams& p, const Parallel& parallel) {
  const DefaultFloatEnvironment environment;
  NearestCentroids nearest_centroids(p);
  std::vector<float> centroids(p.centroids, p.centroids + p.num_clusters * p.dim), distances(size_t(p.count));
  std::vector<int32_t> nearest(size_t(p.count)), order(size_t(p.count));
  std::vector<int64_t> ends(size_t(p.num_clusters));  // of clusters in `order`, once it is filled
  float previous = p.previous_objective;
  for (int64_t iteration = 0;; ++iteration) {
    nearest_centroids.hold(centroids.data());
    parallel(p.count, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment threads_own;
      nearest_centroids.find(begin, end, iteration == 0, nearest.data());
    });
    if (std::find(nearest.begin(), nearest.end(), -1) != nearest.end()) return 0;

    int64_t* sizes = p.sizes + iteration * p.num_clusters;
    std::fill_n(sizes, p.num_clusters, 0);
    for (const int32_t cluster : nearest) ++sizes[cluster];
    int64_t before = 0;
    for (int64_t c = 0; c < p.num_clusters; before += sizes[c++]) ends[size_t(c)] = before;
    for (int64_t i = 0; i < p.count; ++i) order[size_t(ends[size_t(nearest[size_t(i)])]++)] = int32_t(i);
    parallel(p.num_clusters, [&](int64_t begin, int64_t end) {
      const DefaultFloatEnvironment threads_own;
      for (int64_t c = begin; c < end; ++c) {
        const int32_t* last = order.data() + ends[size_t(c)];
        mean_of(p, &centroids[size_t(c * p.dim)], last - sizes[c], last, c, distances.data());
      }
    });

    float& objective = p.objectives[iteration];
    objective = 0;
    for (const float distance : distances) objective += distance;
    const bool settled =
        std::abs(double(previous) - double(objective)) <= p.tolerance * std::abs(double(previous));
    const bool weightless =
        std::find(p.mean_weights, p.mean_weights + p.num_clusters, 0.0f) != p.mean_weights + p.num_clusters;
    if (settled || weightless || iteration + 1 == p.max_iterations) return iteration + 1;
    previous = objective;
    std::copy_n(p.means, p.num_clusters * p.dim, centroids.data());
  }
}

}  // namespace fastret::cpu
