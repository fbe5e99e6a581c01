// A hash table in global memory from words to the least position that each was inserted with, so that what is seen
// first counts, whichever thread comes first. To number words by first sight: insert each with its position, in the
// next launch mark the positions that are those of their words, and sum up the marks (scan.cuh).
#pragma once

#include "launch.cuh"

namespace graphkern::cuda {

struct alignas(16) HashSlot {
  unsigned long long word, position;
};

// Open addressing. Every word but ~0.
struct HashTable {
  static constexpr unsigned long long kNone = ~0ull;

  HashSlot* slots;
  int bits;  // there are 2^bits slots

  __host__ __device__ int64_t num_slots() const { return int64_t(1) << bits; }

  // Returns the slot of `word`, in which the launches after this one find its least position.
  __device__ int64_t insert(uint64_t word, uint64_t position) const {
    int64_t at = home(word);
    while (true) {
      const unsigned long long there = atomicCAS(&slots[at].word, kNone, static_cast<unsigned long long>(word));
      if (there == kNone || there == word) break;
      at = (at + 1) & (num_slots() - 1);
    }
    atomicMin(&slots[at].position, static_cast<unsigned long long>(position));
    return at;
  }

  // The position of `word`, or -1. Not in a launch that inserts.
  __device__ int64_t find(uint64_t word) const {
    for (int64_t at = home(word);; at = (at + 1) & (num_slots() - 1)) {
      const HashSlot slot = slots[at];
      if (slot.word == word) return int64_t(slot.position);
      if (slot.word == kNone) return -1;
    }
  }

 private:
  __device__ int64_t home(uint64_t word) const { return int64_t(word * 0x9E3779B97F4A7C15ull >> (64 - bits)); }
};

template <typename T>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) fill(T* values, int64_t count, T value) {
  for (int64_t i = first_item(); i < count; i += item_stride()) values[i] = value;
}

// An empty table with room for `count` words: a quarter to a half full then. allocate(bytes) gives device memory that
// lives until the kernels ran.
template <typename Allocate>
HashTable make_table(Stream stream, int64_t count, Allocate&& allocate) {
  HashTable table{nullptr, 5};
  while (table.num_slots() < 2 * count) ++table.bits;
  table.slots = static_cast<HashSlot*>(allocate(table.num_slots() * int64_t(sizeof(HashSlot))));
  launch(
      stream, table.num_slots(), fill<HashSlot>, table.slots, table.num_slots(),
      HashSlot{HashTable::kNone, HashTable::kNone});
  return table;
}

}  // namespace graphkern::cuda
