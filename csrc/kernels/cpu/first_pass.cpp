#include "kernels/cpu/first_pass.h"

#include "kernels/cpu/error_bound.h"
#include "kernels/cpu/kernels.h"

namespace fastret::cpu {

FirstPass cheapest_first_pass(int64_t num_queries, int64_t dim) {
  const Primitives& isa = primitives();
  return isa.int8_speed > 1.5f && num_queries >= 8 && dim >= 64 ? FirstPass::int8 : FirstPass::float32;
}

FirstPass packed_first_pass(int64_t dim) {
  return dim > dim_limit(FirstPass::int8) ? FirstPass::float32 : FirstPass::int8;
}

}  // namespace fastret::cpu
