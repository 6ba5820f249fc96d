// Checks that print the failing case. main returns 1 if any failed.
#pragma once
#include <cstdio>
#include <sstream>

namespace fastret::test {

inline int failures = 0;

// Prints `parts` one after the other unless ok: they tell the case.
template <class... Parts>
bool expect(bool ok, const Parts&... parts) {
  if (ok || ++failures > 20) return ok;
  std::ostringstream text;
  text.precision(9);
  (text << ... << parts);
  std::fprintf(stderr, "FAILED: %s\n", text.str().c_str());
  return ok;
}

}  // namespace fastret::test
