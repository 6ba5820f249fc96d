// The kernels count on round-to-nearest and on subnormals: a caller's torch.set_flush_denormal(True) would
// change canonical bits. For the time of a task the default environment holds, then the caller's returns.
#pragma once
#include <cfenv>

namespace fastret {

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

}  // namespace fastret
