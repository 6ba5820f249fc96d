#include "kernels/isa.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace fastret {

extern const Primitives kScalar;
extern const CodePrimitives kScalarCodes;
#if defined(__x86_64__)
extern const Primitives kAvx2;
extern const Primitives kAvx512;
extern const CodePrimitives kAvx2Codes;
extern const CodePrimitives kAvx512Codes;
extern const CodePrimitives kAvx512VbmiCodes;
void dot_tile_avx2_vnni(FirstPass, const void*, int, const int32_t*, const void*, int64_t, void*);
void dot_tile_avx512_vnni(FirstPass, const void*, int, const int32_t*, const void*, int64_t, void*);
#elif defined(__aarch64__)
extern const Primitives kNeon;
void dot_tile_neon_dotprod(FirstPass, const void*, int, const int32_t*, const void*, int64_t, void*);
#endif

namespace {

#if defined(__x86_64__)
// GCC before 13 does not know the name "avxvnni": leaf 7, subleaf 1, bit 4 of EAX.
bool has_avx_vnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 4 & 1);
}
#elif defined(__aarch64__)
bool has_dot_product() {
#if defined(__ARM_FEATURE_DOTPROD)
  return true;
#elif defined(__linux__)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
  return false;
#endif
}
#endif

struct Available {
  static constexpr int kMost = 6;
  Primitives sets[kMost] = {};
  const char* names[kMost + 1] = {};
  int count = 0;

  Available() {
    add(kScalar, kScalarCodes);
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx2) add(kAvx2, kAvx2Codes);
    if (avx2 && has_avx_vnni()) add(with_dot_tile(kAvx2, "avx2_vnni", dot_tile_avx2_vnni), kAvx2Codes);
    if (avx512) add(kAvx512, kAvx512Codes);
    // Nearly all processors with VNNI have VBMI, too.
    const bool vbmi = __builtin_cpu_supports("avx512vbmi");
    if (avx512 && __builtin_cpu_supports("avx512vnni"))
      add(with_dot_tile(kAvx512, "avx512_vnni", dot_tile_avx512_vnni),
          vbmi ? kAvx512VbmiCodes : kAvx512Codes);
#elif defined(__aarch64__)
    add(kNeon, kScalarCodes);
    if (has_dot_product()) add(with_dot_tile(kNeon, "neon_dotprod", dot_tile_neon_dotprod), kScalarCodes);
#endif
  }

  void add(const Primitives& set, const CodePrimitives& codes) {
    names[count] = set.name;
    sets[count] = set;
    sets[count++].codes = &codes;
  }

  // `set` with the dot products of an extension, which take query elements of 8 bits.
  static Primitives with_dot_tile(Primitives set, const char* name, decltype(Primitives::dot_tile) dot_tile) {
    set.name = name;
    set.dot_tile = dot_tile;
    set.int8_query_levels = 127;
    set.int8_speed = 4;
    return set;
  }

  const Primitives* find(const char* name) const {
    for (int i = 0; i < count; ++i)
      if (std::strcmp(names[i], name) == 0) return &sets[i];
    return nullptr;
  }
};

const Available& available() {
  static const Available instance;
  return instance;
}

const Primitives* initial_choice() {
  const Available& all = available();
  const Primitives* best = &all.sets[all.count - 1];
  const char* wanted = std::getenv("FASTRET_ISA");
  if (!wanted || !*wanted) return best;
  if (const Primitives* named = all.find(wanted)) return named;
  std::fprintf(stderr, "fastret: FASTRET_ISA=%s cannot be run by this machine; using %s\n", wanted,
               best->name);
  return best;
}

std::atomic<const Primitives*>& choice() {
  static std::atomic<const Primitives*> current{initial_choice()};
  return current;
}

}  // namespace

const Primitives& primitives() {
  return *choice().load(std::memory_order_acquire);
}

bool use_isa(const char* name) {
  const Primitives* named = available().find(name);
  if (named) choice().store(named, std::memory_order_release);
  return named != nullptr;
}

const char* const* available_isas() {
  return available().names;
}

}  // namespace fastret
