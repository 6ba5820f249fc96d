#include "kernels/cpu/list_terms.h"

#include <algorithm>

#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/product_codes.h"

namespace fastret::cpu {

ListTerms::ListTerms(const ProductColumns& columns, const CodeLists& lists, int64_t num_lists, float* terms)
    : columns_(columns),
      lists_(lists),
      terms_(terms),
      squares_(columns.squares()),
      made_(static_cast<size_t>(num_lists)) {}

void ListTerms::make(int64_t list, const float* centroid) {
  const std::lock_guard alone(making_[size_t(list) % making_.size()]);
  if (made(list)) return;
  const DefaultFloatEnvironment environment;
  std::vector<float> tables(squares_.size());
  columns_.tables(Term::product, centroid, tables.data());
  for (size_t i = 0; i < tables.size(); ++i) tables[i] = tables[i] * 2 + squares_[i];
  const ProductCodes& codes = lists_.codes;
  with_code_reader(codes.nbits, [&](auto reader_of) {
    const int64_t end = lists_.starts[list] + lists_.sizes[list];
    for (int64_t first = lists_.starts[list]; first < end; first += kCodeRowsInFlight) {
      const uint8_t* rows[kCodeRowsInFlight];
      for (int64_t j = 0; j < kCodeRowsInFlight; ++j)
        rows[j] = codes.data + std::min(first + j, end - 1) * codes.code_size;
      float sums[kCodeRowsInFlight];
      table_sums(reader_of, rows, codes.num_codes, tables.data(), int64_t(1) << codes.nbits, sums);
      std::copy_n(sums, std::min(kCodeRowsInFlight, end - first), terms_ + first);
    }
  });
  made_[size_t(list)].store(true, std::memory_order_release);
}

}  // namespace fastret::cpu
