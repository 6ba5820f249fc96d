#include "kernels/isa.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace fastret {

extern const Primitives kScalar;
#if defined(__x86_64__)
extern const Primitives kAvx2;
extern const Primitives kAvx512;
#elif defined(__aarch64__)
extern const Primitives kNeon;
#endif

namespace {

struct Available {
  const Primitives* sets[4] = {};
  const char* names[5] = {};
  int count = 0;

  Available() {
    add(kScalar);
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx2) add(kAvx2);
    if (avx512) add(kAvx512);
#elif defined(__aarch64__)
    add(kNeon);
#endif
  }

  void add(const Primitives& set) {
    names[count] = set.name;
    sets[count++] = &set;
  }

  const Primitives* find(const char* name) const {
    for (int i = 0; i < count; ++i)
      if (std::strcmp(names[i], name) == 0) return sets[i];
    return nullptr;
  }
};

const Available& available() {
  static const Available instance;
  return instance;
}

const Primitives* initial_choice() {
  const Available& all = available();
  const Primitives* best = all.sets[all.count - 1];
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
