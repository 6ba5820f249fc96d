#include "kernels/cpu/nearest_product_search.h"

#include <memory>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/kernels.h"

namespace fastret::cpu {

void search_nearest_product_codes(const NearestProductParams& p, const Parallel& parallel) {
  const int64_t entries = p.columns.entries();
  const std::unique_ptr<float[]> tables(new float[size_t(p.count * entries)]);
  const Term term = p.largest || p.residual ? Term::product : Term::squared_difference;
  parallel(p.count, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t q = begin; q < end; ++q) {
      float* mine = tables.get() + q * entries;
      p.columns.tables(term, p.queries + q * p.columns.dim(), mine);
      for (int64_t i = 0; p.lists.offsets && i < entries; ++i) mine[i] *= -2;
    }
  });
  const ProductQueries queries{
      tables.get(),      entries,  int64_t(1) << p.lists.codes.nbits,         p.count,
      p.nearest.lists(), p.nprobe, p.residual ? p.nearest.scores() : nullptr, p.max_rows,
      p.largest};
  product_search({queries, p.lists, p.k, p.scores, p.positions}, parallel);
}

}  // namespace fastret::cpu
