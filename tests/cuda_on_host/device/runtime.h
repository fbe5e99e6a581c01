// What the parts of the played device know of each other.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "device_on_host.h"
#include "fiber.h"

namespace on_host {

constexpr unsigned kLanes = 32;

struct Block;

enum class Waits { kNothing, kWarp, kBarrier };

struct Thread {
  Block* block = nullptr;
  unsigned index = 0;
  Fiber* fiber = nullptr;  // null before it starts
  bool done = false;
  Waits waits = Waits::kNothing;
  // What it waits with.
  WarpOp op{};
  unsigned mask = 0;
  uint64_t value = 0;
  int argument = 0, width = 0;
  Where where;
  uint64_t result = 0;
  // The last event of each lane of the warp that comes before what this lane does now; its own is the present one.
  uint32_t known[kLanes] = {};

  unsigned lane() const { return index % kLanes; }
};

struct Block {
  unsigned id = 0;
  std::vector<Thread> threads;
  unsigned live = 0, at_barrier = 0;
  Where barrier;          // where they wait
  uint32_t barriers = 0;  // passed
  std::map<const void*, std::unique_ptr<char[]>> shared;
  std::unique_ptr<char[]> dynamic;
};

extern Thread* current;  // null outside device code

std::string place(const Where& where);
std::string name_of(const Thread& thread);

// Ends the launch: run() throws it. Called in device code, does not return.
[[noreturn]] void fail(const std::string& message);
// Lets the kernel go on; run() throws the first such message at its end.
void note(const std::string& message);

// The race detector; it sees memory only in the race build.
namespace race {
void start();
// Memory that a block gets anew.
void forget(const void* address, size_t bytes);
void access(const void* address, size_t bytes, bool is_write, bool is_atomic, const void* code);
}  // namespace race

}  // namespace on_host
