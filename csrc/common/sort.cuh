// A stable sort of keys by radix, lowest digit first: for each digit, how many keys of each tile have which one, the
// sums of these counts over all tiles, and then each key to its place.
#pragma once

#include "scan.cuh"

#ifndef GPU_SORT_ITEMS
#define GPU_SORT_ITEMS 8  // tests choose few
#endif
#ifndef GPU_NARROW
#define GPU_NARROW 0x7fffffff  // tests choose a small one
#endif

namespace graphkern::cuda {

constexpr int64_t kNarrow = GPU_NARROW;     // up to here numbers are kept in 32 bits
constexpr int kSortItems = GPU_SORT_ITEMS;  // keys a thread
constexpr int64_t kSortTile = int64_t(kBlock) * kSortItems;
constexpr int kDigitBits = 8, kMaxDigits = 1 << kDigitBits;
static_assert(kMaxDigits == kBlock, "a thread for each value of a digit");

// Some bits of a key.
struct Digit {
  int shift, bits;

  __host__ __device__ int values() const { return 1 << bits; }
  template <typename Key>
  __device__ int of(Key key) const {
    return int(key >> shift & Key(values() - 1));
  }
};

// counts[value * tiles + tile]: keys of the tile whose digit has this value.
template <typename Key, typename P>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    count_digits(const Key* __restrict__ keys, int64_t count, Digit digit, int64_t tiles, P* __restrict__ counts) {
  GPU_SHARED(int, histogram, [kMaxDigits]);
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t begin = tile * kSortTile, end = begin + kSortTile < count ? begin + kSortTile : count;
    histogram[threadIdx.x] = 0;
    __syncthreads();
    for (int64_t i = begin + threadIdx.x; i < end; i += kBlock) atomicAdd(&histogram[digit.of(keys[i])], 1);
    __syncthreads();
    if (int(threadIdx.x) < digit.values()) counts[int64_t(threadIdx.x) * tiles + tile] = histogram[threadIdx.x];
  }
}

// before[value * tiles + tile]: keys that come before those of the tile whose digit has this value. positions: where
// keys come from, or null for where they are. A warp takes consecutive keys, 32 at a time.
template <typename Key, typename P>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) move_keys(
    const Key* __restrict__ keys, const P* __restrict__ positions, int64_t count, Digit digit, int64_t tiles,
    const P* __restrict__ before, Key* __restrict__ moved, P* __restrict__ moved_positions) {
  GPU_SHARED(P, places, [kBlock / kWarp][kMaxDigits + 1]);  // the last is for lanes without a key
  P* mine = places[warp_id()];
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t first = tile * kSortTile + int64_t(warp_id()) * kSortItems * kWarp + lane_id();
    __syncwarp();  // the last tile's places were read
    for (int value = lane_id(); value <= kMaxDigits; value += kWarp) mine[value] = 0;
    Key key[kSortItems];
    int rank[kSortItems];  // among the keys of the warp with the same digit
#pragma unroll
    for (int k = 0; k < kSortItems; ++k) {
      const int64_t i = first + k * kWarp;
      key[k] = i < count ? keys[i] : Key(0);
      const int value = i < count ? digit.of(key[k]) : kMaxDigits;
      const unsigned peers = __match_any_sync(kAllLanes, value);
      const int earlier = __popc(peers & ((1u << lane_id()) - 1));
      __syncwarp();
      const int seen = int(mine[value]);
      rank[k] = seen + earlier;
      __syncwarp();
      if (earlier == 0) mine[value] = P(seen + __popc(peers));
    }
    __syncthreads();
    if (int(threadIdx.x) < digit.values()) {
      P place = before[int64_t(threadIdx.x) * tiles + tile];
      for (int warp = 0; warp < kBlock / kWarp; ++warp) {
        const P number = places[warp][threadIdx.x];
        places[warp][threadIdx.x] = place;
        place += number;
      }
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kSortItems; ++k) {
      const int64_t i = first + k * kWarp;
      if (i >= count) continue;
      const int64_t place = int64_t(mine[digit.of(key[k])]) + rank[k];
      moved[place] = key[k];
      moved_positions[place] = positions != nullptr ? positions[i] : P(i);
    }
  }
}

// Bits that a number takes.
inline int bits_of(uint64_t number) {
  int bits = 0;
  for (; number > 0; number >>= 1) ++bits;
  return bits;
}

// Sorts keys that are at most `largest`: positions[i] is where the i-th of them was. Returns the sorted keys. Key:
// uint32_t or uint64_t; P: int32_t or int64_t. keys: [count], overwritten; positions: [count]. allocate(bytes) gives
// device memory that lives until the kernels ran. Cost: a pass for each 8 bits of `largest`.
template <typename Key, typename P, typename Allocate>
const Key* sort_keys(Stream stream, Key* keys, int64_t count, uint64_t largest, P* positions, Allocate&& allocate) {
  if (count == 0) return keys;
  const int bits = largest > 0 ? bits_of(largest) : 1, passes = (bits + kDigitBits - 1) / kDigitBits;
  const int width = (bits + passes - 1) / passes;
  const int64_t tiles = (count + kSortTile - 1) / kSortTile;
  P* before = static_cast<P*>(allocate(((tiles << width) + 1) * int64_t(sizeof(P))));
  Key* moved = static_cast<Key*>(allocate(count * int64_t(sizeof(Key))));
  P* spare = passes > 1 ? static_cast<P*>(allocate(count * int64_t(sizeof(P)))) : nullptr;
  const P* from = nullptr;
  for (int pass = 0; pass < passes; ++pass) {
    const int shift = pass * width;
    const Digit digit{shift, bits - shift < width ? bits - shift : width};
    P* to = (passes - pass) % 2 == 1 ? positions : spare;
    launch_blocks(stream, tiles, kBlock, 0, count_digits<Key, P>, keys, count, digit, tiles, before);
    exclusive_scan<P>(stream, ReadValue<P>{before}, digit.values() * tiles, before, allocate);
    launch_blocks(stream, tiles, kBlock, 0, move_keys<Key, P>, keys, from, count, digit, tiles, before, moved, to);
    Key* sorted = moved;
    moved = keys;
    keys = sorted;
    from = to;
  }
  return keys;
}

// starts[bin]: keys below it. sorted: [count], starts: [num_bins + 1].
template <typename Key, typename O>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    bin_starts(const Key* __restrict__ sorted, int64_t count, int64_t num_bins, O* __restrict__ starts) {
  for (int64_t bin = first_item(); bin <= num_bins; bin += item_stride()) {
    int64_t low = 0, high = count;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (uint64_t(sorted[middle]) < uint64_t(bin)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    starts[bin] = O(low);
  }
}

}  // namespace graphkern::cuda
