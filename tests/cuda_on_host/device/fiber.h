// Stacks to switch between: what a device thread runs on.
#pragma once

#include <cstddef>

namespace on_host {

// One that runs entry(), which never returns; or, without an entry, the stack that is running when it is first left.
class Fiber {
 public:
  Fiber() = default;
  explicit Fiber(void (*entry)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Starts from entry() again, whatever was on the stack.
  void restart();
  void switch_to(Fiber& other);
  bool holds(const void* address) const { return address >= stack_ && address < stack_ + kBytes; }

  // Called first thing by entry().
  static void entered();

 private:
#ifdef ON_HOST_ASAN
  static constexpr size_t kBytes = 256 << 10;
#else
  static constexpr size_t kBytes = 64 << 10;
#endif

  void arrived();

  void (*entry_)() = nullptr;
  char* stack_ = nullptr;  // above a page that may not be touched
  void* saved_ = nullptr;
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  void* fake_stack_ = nullptr;
};

}  // namespace on_host
