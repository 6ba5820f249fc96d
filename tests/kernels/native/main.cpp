// Usage: native_tests [GROUP...]; without one, every group. Without any failure the exit status is 0.
// native_tests --sets prints the instruction sets of this machine.
#include <cstdio>
#include <cstring>

#include "expect.h"
#include "groups.h"
#include "kernels/isa.h"

int main(int argc, char** argv) {
  using namespace fastret::test;
  if (argc == 2 && std::strcmp(argv[1], "--sets") == 0) {
    for (const char* const* name = fastret::available_isas(); *name; ++name) std::printf("%s\n", *name);
    return 0;
  }
  for (const Group& group : kGroups) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted |= std::strcmp(argv[i], group.name) == 0;
    if (!wanted) continue;
    std::printf("%s\n", group.name);
    std::fflush(stdout);
    group.run();
  }
  if (failures) std::fprintf(stderr, "%d checks failed\n", failures);
  return failures ? 1 : 0;
}
