// Scores and their columns as single unsigned numbers, the larger the earlier listed, and the largest of many of them.
#pragma once

#include "warp.cuh"

#ifndef GPU_MERGE_STEPS
#define GPU_MERGE_STEPS 4  // keys a thread and step; tests choose one
#endif
#ifndef GPU_MERGE_SHARED
#define GPU_MERGE_SHARED (96 << 10)  // bytes; beyond, keys are in global memory. Tests choose few
#endif

namespace graphkern::cuda {

__extension__ typedef unsigned __int128 WideKey;

template <typename A>
struct TopKey {
  using Bits = uint32_t;
  using Key = uint64_t;
};
template <>
struct TopKey<double> {
  using Bits = uint64_t;
  using Key = WideKey;
};

// The score at the top, the complement of its column in the lower half: of equal scores the lower column is larger.
// 0 is no key.
template <typename Key, typename A>
__device__ inline Key key_of(A score, int64_t column) {
  using Bits = typename TopKey<A>::Bits;
  constexpr int kBits = 8 * sizeof(Bits), kHalf = 4 * sizeof(Key);
  const Bits bits = bit_cast<Bits>(score + A(0));  // -0 becomes 0
  const Bits ordered = bits ^ (Bits(Bits(0) - (bits >> (kBits - 1))) | Bits(1) << (kBits - 1));
  const Key place = ((Key(1) << kHalf) - 1) & ~Key(uint64_t(column));
  return Key(ordered) << (2 * kHalf - kBits) | place;
}

template <typename A, typename Key>
__device__ inline A score_of(Key key) {
  using Bits = typename TopKey<A>::Bits;
  constexpr int kBits = 8 * sizeof(Bits);
  const Bits ordered = Bits(key >> (8 * sizeof(Key) - kBits)), top = Bits(1) << (kBits - 1);
  return bit_cast<A>(Bits(ordered & top ? ordered ^ top : ~ordered));
}

template <typename Key>
__device__ inline int64_t column_of(Key key) {
  return int64_t(uint64_t(~key & ((Key(1) << (4 * sizeof(Key))) - 1)));
}

__device__ inline int top_bit(uint64_t bits) { return 63 - __clzll(static_cast<long long>(bits)); }
__device__ inline int top_bit(WideKey bits) {
  const uint64_t high = uint64_t(bits >> 64);
  return high != 0 ? 64 + top_bit(high) : top_bit(uint64_t(bits));
}

// The bits that are set in any lane.
__device__ inline uint64_t any_lane(uint64_t bits) {
  return fold_lanes<kWarp>(bits, [](uint64_t a, uint64_t b) { return a | b; });
}
__device__ inline WideKey any_lane(WideKey bits) {
  return WideKey(any_lane(uint64_t(bits >> 64))) << 64 | any_lane(uint64_t(bits));
}

// Threads that select together: a warp, or a block of kBlock threads. place: how many before this thread have the flag,
// and how many of all; what they read before it may be overwritten after it.
struct WarpGroup {
  static constexpr int kSize = kWarp;

  __device__ static int rank() { return lane_id(); }
  __device__ static void sync() { __syncwarp(); }
  __device__ static int sum(int mine) { return fold_lanes(mine); }
  template <typename Key>
  __device__ static Key any(Key bits) {
    return any_lane(bits);
  }
  __device__ static int place(bool flag, int& total) {
    __syncwarp();
    const unsigned flags = __ballot_sync(kAllLanes, flag);
    total = __popc(flags);
    return __popc(flags & ((1u << lane_id()) - 1));
  }
};
struct BlockGroup {
  static constexpr int kSize = kBlock;

  __device__ static int rank() { return int(threadIdx.x); }
  __device__ static void sync() { __syncthreads(); }
  __device__ static int sum(int mine) {
    int total;
    exclusive_block_sum(mine, total);
    return total;
  }
  template <typename Key>
  __device__ static Key any(Key bits) {
    GPU_SHARED(Key, of_warps, [kBlock / kWarp]);
    bits = any_lane(bits);
    if (lane_id() == 0) of_warps[warp_id()] = bits;
    __syncthreads();
    for (int warp = 0; warp < kBlock / kWarp; ++warp) bits |= of_warps[warp];
    return bits;
  }
  __device__ static int place(bool flag, int& total) { return exclusive_block_sum(int(flag), total); }
};

// Brings the best of `count` keys to the front, at least k <= most and at most `most` < count of them, in any order,
// and sets count to how many. Returns a number that k of them reach: a key that does not exceed it adds nothing. The
// number is found bit by bit from the top, where keys differ, until it parts off few enough.
template <typename Group, typename Key>
__device__ inline Key keep_best(Key* keys, int& count, int k, int most) {
  Group::sync();    // what other threads have put there
  Key varying = 0;  // bits in which keys differ
  for (int i = Group::rank(); i < count; i += Group::kSize) varying |= keys[i] ^ keys[0];
  varying = Group::any(varying);
  Key floor = keys[0] & ~varying;
  for (int above = count; above > most && varying != 0;) {
    const Key bit = Key(1) << top_bit(varying), trial = floor | bit;
    varying ^= bit;
    int mine = 0;
#pragma unroll 2
    for (int i = Group::rank(); i < count; i += Group::kSize) mine += keys[i] >= trial ? 1 : 0;
    const int total = Group::sum(mine);
    if (total < k) continue;
    floor = trial;
    above = total;
  }
  int kept = 0;
  for (int begin = 0; begin < count; begin += Group::kSize) {
    const int i = begin + Group::rank();
    const Key key = i < count ? keys[i] : Key(0);
    int total;
    const int to = kept + Group::place(key > floor, total);
    if (key > floor) keys[to] = key;
    kept += total;
  }
  for (int i = kept + Group::rank(); i < k; i += Group::kSize) keys[i] = floor;  // there were so many of them
  count = kept > k ? kept : k;
  return floor;
}

// By a whole block. size: a power of two. The threads of the block see the result.
template <typename Key>
__device__ inline void sort_descending(Key* keys, int size) {
  for (int run = 2; run <= size; run *= 2) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int i = threadIdx.x; i < size / 2; i += kBlock) {
        const int low = 2 * i - (i & (distance - 1)), high = low + distance;
        const Key first = keys[low], second = keys[high];
        if ((first < second) == ((low & run) == 0)) {
          keys[low] = second;
          keys[high] = first;
        }
      }
    }
  }
  __syncthreads();
}

// The room that a block merges in: the best of what was read, up to a power of two, and what it reads next.
struct MergeSpace {
  static constexpr int kSteps = GPU_MERGE_STEPS, kStep = kBlock * kSteps;
  static constexpr int64_t kSharedBytes = GPU_MERGE_SHARED, kBytes = 64 << 20;  // the latter of all blocks together
  int k, sorted, capacity;

  explicit MergeSpace(int64_t k) : k(int(k)), sorted(1) {
    while (sorted < k) sorted *= 2;
    capacity = sorted + 2 * kStep;
  }
};

// The k best of `size` keys a row, source(row, i), in order: values [num_rows, k] and columns [num_rows, k]. A row with
// fewer keys ends in -inf and -1. One block a row. spill: [gridDim.x, capacity] keys, or null for shared memory.
template <typename T, typename Key, typename Source>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) merge_rows(
    const Source source, int64_t num_rows, int64_t size, MergeSpace space, Key* spill, T* __restrict__ values,
    int64_t* __restrict__ columns) {
  using A = Accumulate<T>;
  constexpr int kSteps = MergeSpace::kSteps, kStep = MergeSpace::kStep;
  GPU_DYNAMIC_SHARED(Key, shared);
  Key* keys = spill != nullptr ? spill + int64_t(blockIdx.x) * space.capacity : shared;
  for (int64_t row = blockIdx.x; row < num_rows; row += gridDim.x) {
    Key floor = 0;
    int count = 0, total;
    for (int64_t begin = 0; begin < size; begin += kStep) {
      if (count + kStep > space.capacity) {
        floor = keep_best<BlockGroup>(keys, count, space.k, space.sorted);
      }
      Key found[kSteps];
      int mine = 0;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const int64_t i = begin + step * kBlock + threadIdx.x;
        found[step] = i < size ? source(row, i) : Key(0);
        mine += found[step] > floor ? 1 : 0;
      }
      int to = count + exclusive_block_sum(mine, total);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        if (found[step] > floor) keys[to++] = found[step];
      }
      count += total;
    }
    if (count > space.sorted) keep_best<BlockGroup>(keys, count, space.k, space.sorted);
    for (int i = count + int(threadIdx.x); i < space.sorted; i += kBlock) keys[i] = 0;
    sort_descending(keys, space.sorted);
    for (int i = threadIdx.x; i < space.k; i += kBlock) {
      const Key key = keys[i];
      values[row * space.k + i] = from_accumulate<T>(key != 0 ? score_of<A>(key) : -A(INFINITY));
      columns[row * space.k + i] = key != 0 ? column_of(key) : -1;
    }
  }
}

// allocate(bytes) gives device memory that lives until the kernel ran. Source gives keys of type Key.
template <typename Key, typename T, typename Source, typename Allocate>
void merge_best(
    Stream stream, const Source& source, int64_t num_rows, int64_t size, int64_t k, T* values, int64_t* columns,
    Allocate&& allocate) {
  const MergeSpace space(k);
  const int64_t bytes = space.capacity * int64_t(sizeof(Key));
  if (num_rows == 0 || bytes <= MergeSpace::kSharedBytes) {
    launch_blocks(
        stream, num_rows, kBlock, bytes, merge_rows<T, Key, Source>, source, num_rows, size, space,
        static_cast<Key*>(nullptr), values, columns);
    return;
  }
  const int64_t room = bytes < MergeSpace::kBytes ? MergeSpace::kBytes / bytes : 1;
  const int64_t blocks = num_rows < room ? num_rows : room;
  Key* spill = static_cast<Key*>(allocate(blocks * bytes));
  launch_blocks(
      stream, blocks, kBlock, 0, merge_rows<T, Key, Source>, source, num_rows, size, space, spill, values, columns);
}

}  // namespace graphkern::cuda
