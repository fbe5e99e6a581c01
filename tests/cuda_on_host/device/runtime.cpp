// The scheduler of the played device: threads are fibers, and one runs until it has to wait or ends.
#include "runtime.h"

#include <deque>
#include <mutex>
#include <random>
#include <stdexcept>

#include "control.h"

Dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace on_host {

Thread* current = nullptr;

namespace {

struct Device {
  std::mutex lock;
  Fiber scheduler;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
  std::vector<std::unique_ptr<Block>> resident;
  std::deque<Thread*> ready;
  Thread* picked = nullptr;  // left to the scheduler by a fiber whose thread ended
  const std::function<void()>* kernel = nullptr;
  size_t dynamic_bytes = 0;
  std::string failure;
  std::mt19937_64 random;
};

Device device;

std::unique_ptr<char[]> fresh(size_t bytes) {
  auto memory = std::make_unique<char[]>(bytes);
  for (size_t i = 0; i < bytes; ++i) memory[i] = char(i % 2 == 0 ? 0xfd : 0x7f);
  return memory;
}

size_t below(size_t count) { return size_t(device.random() % count); }

Thread* pick() {
  if (device.ready.empty()) return nullptr;
  if (schedule.seed != 0) std::swap(device.ready.front(), device.ready[below(device.ready.size())]);
  Thread* thread = device.ready.front();
  device.ready.pop_front();
  return thread;
}

void make_current(Thread* thread, Fiber* fiber) {
  thread->fiber = fiber;
  current = thread;
  blockIdx = {thread->block->id, 0, 0};
  threadIdx = {thread->index, 0, 0};
}

void to_scheduler() {
  Fiber* fiber = current->fiber;
  current = nullptr;
  fiber->switch_to(device.scheduler);
}

// Others run until this thread is picked again.
void pause() { to_scheduler(); }

void end(Thread& thread) {
  thread.done = true;
  Block& block = *thread.block;
  --block.live;
  if (block.at_barrier > 0) fail(name_of(thread) + " ends while others wait at a barrier");
  const unsigned first = thread.index - thread.lane();
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const Thread& other = block.threads[first + lane];
    if (other.waits == Waits::kWarp && (other.mask >> thread.lane() & 1) != 0) {
      fail(name_of(thread) + " ends, but " + name_of(other) + " waits for it at " + place(other.where));
    }
  }
}

// A fiber runs one thread after another, as long as the next to run has not started.
void run_threads() {
  Fiber::entered();
  for (;;) {
    (*device.kernel)();
    end(*current);
    Fiber* fiber = current->fiber;
    Thread* next = device.failure.empty() ? pick() : nullptr;
    if (next != nullptr && next->fiber == nullptr) {
      make_current(next, fiber);
      continue;
    }
    device.picked = next;
    device.idle.push_back(fiber);
    to_scheduler();
  }
}

Fiber* idle_fiber() {
  if (device.idle.empty()) {
    device.fibers.push_back(std::make_unique<Fiber>(run_threads));
    return device.fibers.back().get();
  }
  Fiber* fiber = device.idle.back();
  device.idle.pop_back();
  return fiber;
}

void start_block(unsigned id, unsigned threads) {
  auto block = std::make_unique<Block>();
  block->id = id;
  block->live = threads;
  block->threads.resize(threads);
  block->dynamic = fresh(device.dynamic_bytes);
  race::forget(block->dynamic.get(), device.dynamic_bytes);
  for (unsigned i = 0; i < threads; ++i) {
    Thread& thread = block->threads[i];
    thread.block = block.get();
    thread.index = i;
    thread.known[thread.lane()] = 1;
    device.ready.push_back(&thread);
  }
  device.resident.push_back(std::move(block));
}

std::string deadlock() {
  std::string message = "deadlock:";
  int told = 0;
  for (const auto& block : device.resident) {
    for (const Thread& thread : block->threads) {
      if (thread.done || told == 4) continue;
      message += " " + name_of(thread) + " waits at " + place(thread.where) + ";";
      ++told;
    }
  }
  return message;
}

void run_blocks(std::deque<unsigned> waiting, unsigned threads) {
  for (;;) {
    std::erase_if(device.resident, [](const auto& block) { return block->live == 0; });
    while (!waiting.empty() && device.resident.size() < size_t(schedule.resident)) {
      start_block(waiting.front(), threads);
      waiting.pop_front();
    }
    Thread* next = device.picked != nullptr ? device.picked : pick();
    device.picked = nullptr;
    if (next == nullptr) {
      if (device.resident.empty()) return;
      device.failure = deadlock();
      return;
    }
    make_current(next, next->fiber != nullptr ? next->fiber : idle_fiber());
    device.scheduler.switch_to(*current->fiber);
    if (!device.failure.empty()) return;
  }
}

// After a failure: threads are somewhere in the kernel, and stay there.
void abandon() {
  device.ready.clear();
  device.resident.clear();
  device.picked = nullptr;
  device.idle.clear();
  for (const auto& fiber : device.fibers) {
    fiber->restart();
    device.idle.push_back(fiber.get());
  }
}

// What the last of the lanes to arrive computes for `lane`.
uint64_t result_of(const Thread* warp, unsigned lane) {
  const Thread& own = warp[lane];
  const int width = own.width, first = int(lane) / width * width;
  int from = int(lane);
  switch (own.op) {
    case WarpOp::kSync:
      return 0;
    case WarpOp::kBallot:
    case WarpOp::kMatch: {
      uint64_t result = 0;
      for (unsigned other = 0; other < kLanes; ++other) {
        const bool is_in = (own.mask >> other & 1) != 0;
        const bool counts = own.op == WarpOp::kBallot ? warp[other].value != 0 : warp[other].value == own.value;
        if (is_in && counts) result |= uint64_t(1) << other;
      }
      return result;
    }
    case WarpOp::kShuffle:
      from = first + own.argument % width;
      break;
    case WarpOp::kShuffleXor:
      from = int(lane) ^ own.argument;
      if (from >= first + width) from = int(lane);
      break;
    case WarpOp::kShuffleUp:
      from = int(lane) - own.argument >= first ? int(lane) - own.argument : int(lane);
      break;
    case WarpOp::kShuffleDown:
      from = int(lane) + own.argument < first + width ? int(lane) + own.argument : int(lane);
      break;
  }
  if ((own.mask >> from & 1) == 0) fail(name_of(own) + " reads lane " + std::to_string(from) + ", not in its mask");
  return warp[from].value;
}

void join_clocks(Thread* warp, unsigned mask) {
  uint32_t latest[kLanes] = {};
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    for (unsigned i = 0; i < kLanes; ++i) latest[i] = std::max(latest[i], warp[lane].known[i]);
  }
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    std::memcpy(warp[lane].known, latest, sizeof(latest));
    ++warp[lane].known[lane];
  }
}

bool is_same(const Where& a, const Where& b) {
  if (a.line() != b.line() || a.column() != b.column()) return false;
  return a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0;
}

// All lanes of the mask arrived: gives each its result, and lets all go on.
void release(Thread* warp, unsigned mask) {
  uint64_t results[kLanes] = {};
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if ((mask >> lane & 1) != 0) results[lane] = result_of(warp, lane);
  }
  if (current->op == WarpOp::kSync) join_clocks(warp, mask);
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    warp[lane].result = results[lane];
    warp[lane].waits = Waits::kNothing;
    if (&warp[lane] != current) device.ready.push_back(&warp[lane]);
  }
}

}  // namespace

std::string place(const Where& where) {
  const std::string file = where.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line());
}

std::string name_of(const Thread& thread) {
  return "block " + std::to_string(thread.block->id) + " thread " + std::to_string(thread.index);
}

void fail(const std::string& message) {
  note(message);
  to_scheduler();
  std::abort();  // nobody picks a thread of a launch that failed
}

void note(const std::string& message) {
  if (device.failure.empty()) device.failure = message;
}

void run(unsigned blocks, unsigned threads, int64_t shared_bytes, const std::function<void()>& kernel) {
  const std::lock_guard<std::mutex> guard(device.lock);
  if (threads == 0 || threads > 1024 || threads % kLanes != 0) throw std::runtime_error("a block needs whole warps");
  device.failure.clear();
  device.random.seed(schedule.seed);
  device.kernel = &kernel;
  device.dynamic_bytes = size_t(shared_bytes);
  gridDim = {blocks, 1, 1};
  blockDim = {threads, 1, 1};
  std::deque<unsigned> order;
  for (unsigned block = 0; block < blocks; ++block) order.push_back(block);
  if (schedule.seed != 0) std::shuffle(order.begin(), order.end(), device.random);
  race::start();
  run_blocks(std::move(order), threads);
  current = nullptr;
  if (device.failure.empty()) return;
  abandon();
  throw std::runtime_error(device.failure);
}

void* shared_memory(const void* site, size_t bytes, size_t alignment) {
  std::unique_ptr<char[]>& memory = current->block->shared[site];
  if (memory == nullptr) {
    memory = fresh(bytes);
    race::forget(memory.get(), bytes);
  }
  if (reinterpret_cast<uintptr_t>(memory.get()) % alignment != 0) fail("shared memory is not aligned");
  return memory.get();
}

void* dynamic_shared_memory() { return current->block->dynamic.get(); }

void barrier(Where where) {
  if (is_removed(where, "barrier")) return;
  Thread& self = *current;
  Block& block = *self.block;
  if (block.live < block.threads.size()) fail(name_of(self) + " is at " + place(where) + ", but others ended");
  if (block.at_barrier > 0 && !is_same(block.barrier, where)) {
    fail(name_of(self) + " is at barrier " + place(where) + ", but others wait at " + place(block.barrier));
  }
  block.barrier = where;
  self.where = where;
  self.waits = Waits::kBarrier;
  ++block.at_barrier;
  if (block.at_barrier < block.threads.size()) return pause();
  block.at_barrier = 0;
  ++block.barriers;
  for (Thread& other : block.threads) {
    other.waits = Waits::kNothing;
    if (&other != &self || schedule.seed != 0) device.ready.push_back(&other);
  }
  if (schedule.seed != 0) pause();
}

unsigned running_lanes() {
  const Thread* warp = current - current->lane();
  unsigned lanes = 0;
  for (unsigned lane = 0; lane < kLanes; ++lane) lanes |= unsigned(!warp[lane].done) << lane;
  return lanes & (1u << current->lane());  // nobody else needs to be here
}

uint64_t meet(WarpOp op, unsigned mask, uint64_t value, int argument, int width, Where where) {
  if (op == WarpOp::kSync && is_removed(where, "syncwarp")) return 0;
  Thread& self = *current;
  Thread* warp = &self - self.lane();
  if ((mask >> self.lane() & 1) == 0) fail(name_of(self) + " is not in its own mask at " + place(where));
  self.op = op;
  self.mask = mask;
  self.value = value;
  self.argument = argument;
  self.width = width;
  self.where = where;
  self.waits = Waits::kWarp;
  bool complete = true;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const Thread& other = warp[lane];
    const bool wanted = (mask >> lane & 1) != 0;
    if (wanted && other.done) fail(name_of(self) + " at " + place(where) + " names a lane that ended");
    const bool meets = other.waits == Waits::kWarp && (wanted || (other.mask >> self.lane() & 1) != 0);
    if (meets && (other.mask != mask || other.op != op || !is_same(other.where, where))) {
      fail(name_of(self) + " is at " + place(where) + ", but " + name_of(other) + " waits at " + place(other.where));
    }
    complete = complete && (!wanted || other.waits == Waits::kWarp);
  }
  if (!complete) {
    pause();
    return self.result;
  }
  release(warp, mask);
  if (schedule.seed != 0) {
    device.ready.push_back(&self);
    pause();
  }
  return self.result;
}

void yield_sometimes() {
  if (schedule.preempt <= 0 || double(device.random() >> 11) * 0x1p-53 >= schedule.preempt) return;
  device.ready.push_back(current);
  pause();
}

}  // namespace on_host
