// Finds two accesses to a byte, at least one of them a write and not both atomic, that nothing orders: only barriers
// and
// __syncwarp do. The compiler calls the hooks below for each access (-fsanitize=thread), in place of its own runtime.
#include <dlfcn.h>

#include <array>
#include <unordered_map>

#include "runtime.h"

namespace on_host::race {
namespace {

#ifdef ON_HOST_RACE
constexpr bool kWatches = true;
#else
constexpr bool kWatches = false;
#endif

struct Access {
  unsigned block = 0, thread = 0;
  uint32_t barriers = 0, clock = 0;  // clock 0: none
  bool is_atomic = false;
  const void* code = nullptr;
};

struct Cell {
  Access write;
  std::array<Access, 4> reads;  // since the write; by at most so many threads
};

constexpr uintptr_t kPage = 256;  // bytes
using Page = std::array<Cell, kPage>;
std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
uintptr_t last_number = 0;
Page* last_page = nullptr;

Cell& cell(uintptr_t address) {
  const uintptr_t number = address / kPage;
  if (last_page == nullptr || number != last_number) {
    std::unique_ptr<Page>& page = pages[number];
    if (page == nullptr) page = std::make_unique<Page>();
    last_number = number;
    last_page = page.get();
  }
  return (*last_page)[address % kPage];
}

bool is_ordered(const Access& before, const Thread& now) {
  if (before.clock == 0) return true;
  if (before.block != now.block->id) return false;
  if (before.thread == now.index || before.barriers < now.block->barriers) return true;
  const bool same_warp = before.thread / kLanes == now.index / kLanes;
  return same_warp && now.known[before.thread % kLanes] >= before.clock;
}

std::string line_of(const void* code) {
  Dl_info info;
  if (code == nullptr || dladdr(code, &info) == 0) return "an atomic";
  char command[512], line[512] = "";
  const auto offset = static_cast<const char*>(code) - static_cast<const char*>(info.dli_fbase) - 1;
  std::snprintf(command, sizeof(command), "addr2line -e '%s' 0x%zx", info.dli_fname, size_t(offset));
  if (FILE* pipe = popen(command, "r")) {
    if (std::fgets(line, sizeof(line), pipe) == nullptr) line[0] = 0;
    pclose(pipe);
  }
  const std::string text = line;
  const size_t begin = text.rfind('/') + 1;
  return text.substr(begin, text.find_first_of(" \n", begin) - begin);
}

void report(const Access& before, const char* what, const Access& now, const char* what_now) {
  fail(
      "race: " + name_of(*current) + " " + what_now + " (" + line_of(now.code) + ") what block " +
      std::to_string(before.block) + " thread " + std::to_string(before.thread) + " " + what + " (" +
      line_of(before.code) + ")");
}

void check(Cell& cell, const Access& now, bool is_write) {
  const auto conflicts = [&](const Access& before) {
    return !(before.is_atomic && now.is_atomic) && !is_ordered(before, *current);
  };
  if (conflicts(cell.write)) report(cell.write, "writes", now, is_write ? "writes" : "reads");
  if (is_write) {
    for (const Access& read : cell.reads) {
      if (conflicts(read)) report(read, "reads", now, "writes");
    }
    cell.write = now;
    cell.reads = {};
    return;
  }
  Access* place = &cell.reads[now.thread % cell.reads.size()];
  for (Access& read : cell.reads) {
    if (read.clock == 0 || (read.block == now.block && read.thread == now.thread)) {
      place = &read;
      break;
    }
  }
  *place = now;
}

}  // namespace

void start() {
  pages.clear();
  last_page = nullptr;
}

void forget(const void* address, size_t bytes) {
  if (!kWatches) return;
  for (size_t i = 0; i < bytes; ++i) cell(reinterpret_cast<uintptr_t>(address) + i) = {};
}

void access(const void* address, size_t bytes, bool is_write, bool is_atomic, const void* code) {
  if (!kWatches || current == nullptr || current->fiber->holds(address)) return;
  const Access now{
      current->block->id, current->index, current->block->barriers, current->known[current->lane()], is_atomic, code};
  for (size_t i = 0; i < bytes; ++i) check(cell(reinterpret_cast<uintptr_t>(address) + i), now, is_write);
}

}  // namespace on_host::race

#ifdef ON_HOST_RACE
// The hooks of -fsanitize=thread.
extern "C" {

#define GK_ACCESS(size)                                                                                          \
  void __tsan_read##size(void* p) { on_host::race::access(p, size, false, false, __builtin_return_address(0)); } \
  void __tsan_write##size(void* p) { on_host::race::access(p, size, true, false, __builtin_return_address(0)); } \
  void __tsan_unaligned_read##size(void* p) {                                                                    \
    on_host::race::access(p, size, false, false, __builtin_return_address(0));                                   \
  }                                                                                                              \
  void __tsan_unaligned_write##size(void* p) {                                                                   \
    on_host::race::access(p, size, true, false, __builtin_return_address(0));                                    \
  }
GK_ACCESS(1)
GK_ACCESS(2)
GK_ACCESS(4)
GK_ACCESS(8)
GK_ACCESS(16)

void __tsan_read_range(void* p, size_t bytes) {
  on_host::race::access(p, bytes, false, false, __builtin_return_address(0));
}
void __tsan_write_range(void* p, size_t bytes) {
  on_host::race::access(p, bytes, true, false, __builtin_return_address(0));
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}

// The atomics of host code: reference counts of the launchers' tensors.
#define GK_ATOMIC(bits, T)                                                                                          \
  T __tsan_atomic##bits##_load(const volatile T* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }           \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }           \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); } \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); } \
  T __tsan_atomic##bits##_fetch_sub(volatile T* p, T v, int) { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); } \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* expected, T v, int, int) {                    \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                  \
  }                                                                                                                 \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* p, T* expected, T v, int, int) {                      \
    return __atomic_compare_exchange_n(p, expected, v, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                   \
  }
GK_ATOMIC(8, uint8_t)
GK_ATOMIC(32, uint32_t)
GK_ATOMIC(64, uint64_t)
void __tsan_atomic_thread_fence(int) {}
}
#endif
