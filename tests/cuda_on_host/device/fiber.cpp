#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

#ifdef ON_HOST_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace on_host {
namespace {

constexpr size_t kGuard = 64 << 10;  // at least a page everywhere

Fiber* arriving = nullptr;  // who is switched to
Fiber* left = nullptr;      // who was switched from

}  // namespace

#ifdef __x86_64__
// Keeps what a called function must keep, and the place to return to, on the stack that it leaves.
extern "C" void on_host_switch(void** saved, void* to);
asm(R"(
.text
.type on_host_switch, @function
on_host_switch:
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
.size on_host_switch, .-on_host_switch
)");
#endif

Fiber::Fiber(void (*entry)()) : entry_(entry) {
  void* memory = mmap(nullptr, kGuard + kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuard, PROT_NONE) != 0) throw std::bad_alloc();
  stack_ = static_cast<char*>(memory) + kGuard;
  bottom_ = stack_;
  bytes_ = kBytes;
#ifndef __x86_64__
  saved_ = new ucontext_t;
#endif
  restart();
}

Fiber::~Fiber() {
  if (stack_ != nullptr) munmap(stack_ - kGuard, kGuard + kBytes);
#ifndef __x86_64__
  delete static_cast<ucontext_t*>(saved_);
#endif
}

void Fiber::restart() {
#ifdef ON_HOST_ASAN
  __asan_unpoison_memory_region(stack_, kBytes);
#endif
  fake_stack_ = nullptr;
#ifdef __x86_64__
  // Six registers, then where to return to, so that entry() finds the stack as if it had been called.
  auto* top = reinterpret_cast<uint64_t*>(stack_ + kBytes);
  top[-2] = reinterpret_cast<uint64_t>(entry_);
  std::memset(top - 8, 0, 6 * sizeof(uint64_t));
  saved_ = top - 8;
#else
  auto* context = static_cast<ucontext_t*>(saved_);
  getcontext(context);
  context->uc_stack = {.ss_sp = stack_, .ss_flags = 0, .ss_size = kBytes};
  context->uc_link = nullptr;
  makecontext(context, entry_, 0);
#endif
}

void Fiber::switch_to(Fiber& other) {
  left = this;
  arriving = &other;
#ifdef ON_HOST_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, other.bottom_, other.bytes_);
#endif
#ifdef __x86_64__
  on_host_switch(&saved_, other.saved_);
#else
  if (saved_ == nullptr) saved_ = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(saved_), static_cast<ucontext_t*>(other.saved_));
#endif
  arrived();
}

void Fiber::arrived() {
#ifdef ON_HOST_ASAN
  const void* bottom = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(fake_stack_, &bottom, &bytes);
  if (left->stack_ == nullptr) {
    left->bottom_ = bottom;
    left->bytes_ = bytes;
  }
#endif
}

void Fiber::entered() { arriving->arrived(); }

}  // namespace on_host
