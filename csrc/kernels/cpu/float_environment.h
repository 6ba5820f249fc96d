// The kernels count on round-to-nearest and on subnormals: a caller's torch.set_flush_denormal(True) would
// change canonical bits. For the time of a task the default environment holds, then the caller's returns.
#pragma once
#include <cfenv>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace fastret {

#if defined(__SSE2__)

// Of the control word alone, which is all that SSE and AVX look at: fesetenv costs as much as a short search.
class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment() : callers_(_mm_getcsr()) { set(kDefault); }
  ~DefaultFloatEnvironment() { set(callers_ & kControl); }
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

 private:
  static constexpr unsigned kFlags = 0x3f, kControl = 0xffff & ~kFlags, kDefault = 0x1f80;

  // Exceptions that occurred stay noted, as they do where nothing is to be set.
  static void set(unsigned control) {
    const unsigned current = _mm_getcsr();
    if ((current & kControl) != control) _mm_setcsr((current & kFlags) | control);
  }

  unsigned callers_;
};

#else

class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment() {
    std::fegetenv(&callers_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultFloatEnvironment() { std::fesetenv(&callers_); }
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

 private:
  std::fenv_t callers_;
};

#endif

}  // namespace fastret
