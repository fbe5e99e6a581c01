// Where nodes are among those that were kept. Compiled once. Of equal nodes the first counts.
#pragma once

#include <atomic>

#include "../common/parallel.h"

namespace graphkern {

constexpr uint32_t kNowhere = ~uint32_t(0);

// Calls f(i) for each of [0, count), by several threads.
template <typename F>
void for_each_node(int64_t count, int64_t threads, const F& f) {
  const int64_t share = (count + threads - 1) / threads;
  parallel_tasks(threads, threads, [&](int64_t task) {
    for (int64_t i = task * share; i < std::min(count, (task + 1) * share); ++i) f(i);
  });
}

// Memory for `count` slots, which several threads fill.
class Slots {
 public:
  Slots(int64_t count, int64_t threads) : memory_(allocate({count}, ScalarType::Int)) {
    slots_ = static_cast<uint32_t*>(memory_.mutable_data_ptr());
    constexpr int64_t kRun = 1 << 16;
    parallel_tasks((count + kRun - 1) / kRun, threads, [&](int64_t run) {
      std::fill(slots_ + run * kRun, slots_ + std::min(count, (run + 1) * kRun), kNowhere);
    });
  }

  uint32_t operator[](int64_t at) const { return slots_[at]; }

  // Takes an empty slot; returns what it held before.
  uint32_t take(int64_t at, uint32_t place) {
    uint32_t held = kNowhere;
    std::atomic_ref(slots_[at]).compare_exchange_strong(held, place, std::memory_order_relaxed);
    return held;
  }

  void set_to_least(int64_t at, uint32_t place) {
    std::atomic_ref slot(slots_[at]);
    uint32_t held = slot.load(std::memory_order_relaxed);
    while (place < held && !slot.compare_exchange_weak(held, place, std::memory_order_relaxed)) {
    }
  }

 private:
  Tensor memory_;
  uint32_t* slots_;
};

// A slot for each node of the graph.
template <typename I>
class MapPlaces {
 public:
  MapPlaces(const I* nodes, int64_t count, int64_t num_nodes, int64_t threads) : slots_(num_nodes, threads) {
    for_each_node(count, threads, [&](int64_t i) { slots_.set_to_least(nodes[i], uint32_t(i)); });
  }

  uint32_t operator[](I node) const { return slots_[node]; }

 private:
  Slots slots_;
};

// Open addressing, at most a quarter full: most of the nodes that are asked for are not there.
template <typename I>
class HashPlaces {
 public:
  HashPlaces(const I* nodes, int64_t count, int64_t threads)
      : nodes_(nodes), bits_(bits_for(4 * count)), slots_(int64_t(1) << bits_, threads) {
    for_each_node(count, threads, [&](int64_t i) { put(uint32_t(i)); });
  }

  uint32_t operator[](I node) const {
    for (int64_t at = home(node);; at = after(at)) {
      const uint32_t place = slots_[at];
      if (place == kNowhere || nodes_[place] == node) return place;
    }
  }

 private:
  static int bits_for(int64_t count) {
    int bits = 6;
    while (int64_t(1) << bits < count) ++bits;
    return bits;
  }

  int64_t home(I node) const { return int64_t(uint64_t(node) * 0x9E3779B97F4A7C15ull >> (64 - bits_)); }
  int64_t after(int64_t at) const { return (at + 1) & ((int64_t(1) << bits_) - 1); }

  void put(uint32_t place) {
    for (int64_t at = home(nodes_[place]);; at = after(at)) {
      const uint32_t held = slots_.take(at, place);
      if (held == kNowhere) return;
      if (nodes_[held] == nodes_[place]) return slots_.set_to_least(at, place);
    }
  }

  const I* nodes_;
  int bits_;
  Slots slots_;
};

}  // namespace graphkern
