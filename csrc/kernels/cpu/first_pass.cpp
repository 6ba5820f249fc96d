#include "kernels/cpu/first_pass.h"

namespace fastret::cpu {

FirstPass cheapest_first_pass(int64_t num_queries, int64_t dim) {
  const Primitives& isa = primitives();
  return isa.int8_speed > 1.5f && num_queries >= 8 && dim >= 64 ? FirstPass::int8 : FirstPass::float32;
}

}  // namespace fastret::cpu
