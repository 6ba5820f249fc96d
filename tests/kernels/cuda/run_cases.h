// The main function of a program of test cases: without arguments it lists them, else it runs the one named.
#pragma once
#include <cstdio>
#include <cstring>

#include "expectations.h"
#include "simt.h"

namespace fastret {

struct Case {
  const char* name;
  void (*run)();
};

template <size_t Count>
int run_cases(const Case (&cases)[Count], int argc, char** argv) {
  if (argc < 2) {
    for (const Case& c : cases) std::puts(c.name);
    return 0;
  }
  for (const Case& c : cases) {
    if (std::strcmp(c.name, argv[1]) != 0) continue;
    for (unsigned seed : {1u, 2u}) {
      simt::seed(seed);
      c.run();
    }
    if (failures) std::fprintf(stderr, "%d comparisons failed\n", failures);
    return failures != 0;
  }
  std::fprintf(stderr, "unknown case %s\n", argv[1]);
  return 2;
}

}  // namespace fastret
