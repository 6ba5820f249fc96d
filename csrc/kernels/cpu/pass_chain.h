// What search and range_search share: which pass answers a query, and what takes over where it cannot.
#pragma once
#include <vector>

#include "kernels/cpu/first_pass.h"
#include "kernels/cpu/query_block.h"

namespace fastret::cpu {

// Has the queries answered by the pass of the packed keys or the cheapest one, those that it leaves by
// float32, and returns what is left then. answer(choice, queries) returns the queries that it could not
// answer.
template <class F>
std::vector<int64_t> answer_in_passes(const KeySet& keys, int first_pass, std::vector<int64_t> queries,
                                      F&& answer) {
  const int64_t dim = keys.rows.dim;
  if (dim == 0 || !keys_places_fit(keys.rows.rows)) return queries;
  PassChoice choice = keys.packed ? PassChoice{keys.packed->first_pass}
                                  : choose_pass(int64_t(queries.size()), dim, first_pass);
  while (!queries.empty()) {
    if (dim <= dim_limit(choice.pass)) queries = answer(choice, std::move(queries));
    if (choice.pass == FirstPass::float32) break;
    choice = choose_pass(int64_t(queries.size()), dim, int(FirstPass::float32));
  }
  return queries;
}

}  // namespace fastret::cpu
