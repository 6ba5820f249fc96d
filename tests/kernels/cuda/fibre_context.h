// Where a thread of execution goes on after another had its turn. ucontext asks the kernel to save signal
// masks at each switch, which is most of the time of a simulation; on x86-64 the registers that a call keeps
// are all that is saved.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)

asm(R"(
.text
.type simt_switch, @function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch, . - simt_switch
)");
extern "C" void simt_switch(void** saved_stack, void* next_stack);

namespace simt {

class Context {
 public:
  // On a stack of its own, from the beginning of `entry`, which never returns.
  void begin(char* stack, size_t bytes, void (*entry)()) {
    auto** top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + bytes) / 16 * 16);
    *--top = nullptr;  // a return address, so that the entry finds the alignment of a call
    *--top = reinterpret_cast<void*>(entry);
    stack_ = top - 6;  // the saved registers, of any value
  }
  void leave_for(Context& next) { simt_switch(&stack_, next.stack_); }

 private:
  void* stack_ = nullptr;
};

}  // namespace simt

#else
#include <ucontext.h>

namespace simt {

class Context {
 public:
  void begin(char* stack, size_t bytes, void (*entry)()) {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = bytes;
    makecontext(&context_, entry, 0);
  }
  void leave_for(Context& next) { swapcontext(&context_, &next.context_); }

 private:
  ucontext_t context_;
};

}  // namespace simt

#endif
