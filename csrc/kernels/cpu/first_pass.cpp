#include "kernels/cpu/first_pass.h"

#include "kernels/cpu/error_bound.h"

namespace fastret::cpu {
namespace {

// Below, packing the keys costs more than it saves: it takes the time of about so many float32 dot products a
// key.
constexpr int64_t kWorthPacking = 84;
constexpr int64_t kWorthIntegers = 64;  // dimensions: below, bounds cost as much as products

}  // namespace

PassChoice choose_pass(int64_t num_queries, int64_t dim, int first_pass) {
  const bool in_place =
      num_queries < kWorthPacking && (dim >= kWorthIntegers || num_queries <= kRowTileQueries);
  if (first_pass == int(FirstPass::float32)) return {FirstPass::float32, in_place};
  if (first_pass >= 0) return {FirstPass(first_pass)};
  if (in_place) return {FirstPass::float32, true};
  const bool integers =
      primitives().int8_speed > 1.5f && dim >= kWorthIntegers && dim <= dim_limit(FirstPass::int8);
  return {integers ? FirstPass::int8 : FirstPass::float32};
}

}  // namespace fastret::cpu
