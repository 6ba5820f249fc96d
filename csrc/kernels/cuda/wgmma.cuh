// The tensor cores of Hopper: products of a warpgroup, all of whose threads call these together.
#pragma once
#include "kernels/cuda/wgmma_layout.h"

namespace fastret::cuda {

// Sums that other instructions have touched may enter products from here on.
__device__ __forceinline__ void begin_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

// Closes a group of products.
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Until at most `Groups` groups are under way.
template <int Groups>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Groups) : "memory");
}

// After a wait: keeps the compiler, to which the products look done when they are queued, from reading sums
// before it.
template <int kCount>
__device__ __forceinline__ void pin(float (&sums)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}

// Names of the registers of the instructions below: %0 ... as text, sums[0] ... as operands.
#define FASTRET_TEXT_4 "%0, %1, %2, %3"
#define FASTRET_TEXT_8 FASTRET_TEXT_4 ", %4, %5, %6, %7"
#define FASTRET_TEXT_16 FASTRET_TEXT_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define FASTRET_TEXT_32 \
  FASTRET_TEXT_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define FASTRET_TEXT_128                                                                         \
  FASTRET_TEXT_32                                                                                \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"             \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"             \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"             \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"             \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define FASTRET_SUMS_4(i) "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3])
#define FASTRET_SUMS_8(i) FASTRET_SUMS_4(i), FASTRET_SUMS_4(i + 4)
#define FASTRET_SUMS_16(i) FASTRET_SUMS_8(i), FASTRET_SUMS_8(i + 8)
#define FASTRET_SUMS_32(i) FASTRET_SUMS_16(i), FASTRET_SUMS_16(i + 16)
#define FASTRET_SUMS_64(i) FASTRET_SUMS_32(i), FASTRET_SUMS_32(i + 32)
#define FASTRET_SUMS_128(i) FASTRET_SUMS_64(i), FASTRET_SUMS_64(i + 64)

// sums [64 x N] = a [64 x 16] b [N x 16]^T in bfloat16, added to what they were if `add`; a and b by their
// descriptors, the sums as fragment_row and fragment_column say. N is twice the number of sums. From the call
// until a wait has found the products done, nothing may touch the sums.
#define FASTRET_MULTIPLY(COLUMNS, COUNT, A, B, ADD)                                                         \
  __device__ __forceinline__ void multiply(float (&sums)[COUNT], uint64_t a, uint64_t b, bool add) {        \
    asm volatile("{.reg .pred add; setp.ne.b32 add, " ADD ", 0; wgmma.mma_async.sync.aligned.m64n" #COLUMNS \
                 "k16.f32.bf16.bf16 {" FASTRET_TEXT_##COUNT "}, " A ", " B ", add, 1, 1, 0, 0;}"            \
                 : FASTRET_SUMS_##COUNT(0)                                                                  \
                 : "l"(a), "l"(b), "r"(int(add)));                                                          \
  }
FASTRET_MULTIPLY(8, 4, "%4", "%5", "%6")
FASTRET_MULTIPLY(16, 8, "%8", "%9", "%10")
FASTRET_MULTIPLY(32, 16, "%16", "%17", "%18")
FASTRET_MULTIPLY(64, 32, "%32", "%33", "%34")
FASTRET_MULTIPLY(256, 128, "%128", "%129", "%130")

}  // namespace fastret::cuda
