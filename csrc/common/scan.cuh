// Sums over a whole array, without waiting between blocks: sums of tiles, their sums in turn, then the tiles once more.
#pragma once

#include "warp.cuh"

namespace graphkern::cuda {

constexpr int kScanItems = 8;  // values a thread
constexpr int64_t kScanTile = int64_t(kBlock) * kScanItems;

// value(i) -> O for i in [0, count), summed by tile. sums: [tiles]
template <typename Value, typename O>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) tile_sums(Value value, int64_t count, int64_t tiles, O* sums) {
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t begin = tile * kScanTile, end = begin + kScanTile < count ? begin + kScanTile : count;
    O mine = 0, total;
    for (int64_t i = begin + threadIdx.x; i < end; i += kBlock) mine += value(i);
    exclusive_block_sum(mine, total);
    if (threadIdx.x == 0) sums[tile] = total;
  }
}

// out[i] = before[tile] + the sum of value(j) over j < i in the tile; out[count] is the sum of all. before: null is 0.
// out: [count + 1]. value may read what out holds at i.
template <typename Value, typename O>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    scan_tiles(Value value, int64_t count, int64_t tiles, const O* before, O* out) {
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    O running = before != nullptr ? before[tile] : 0;
    for (int step = 0; step < kScanItems; ++step) {
      const int64_t i = tile * kScanTile + int64_t(step) * kBlock + threadIdx.x;
      O total;
      const O mine = i < count ? O(value(i)) : O(0);
      const O position = running + exclusive_block_sum(mine, total);
      if (i < count) out[i] = position;
      running += total;
    }
    if (tile == tiles - 1 && threadIdx.x == 0) out[count] = running;
  }
}

template <typename O>
struct ReadValue {
  const O* values;
  __device__ O operator()(int64_t i) const { return values[i]; }
};

// out[i] = the sum of value(j) over j < i, for i in [0, count]. Value: a device functor of an index. out: [count + 1].
// allocate(bytes) gives device memory that lives until the kernels ran. Cost: value is called twice an index.
template <typename O, typename Value, typename Allocate>
void exclusive_scan(Stream stream, const Value& value, int64_t count, O* out, Allocate&& allocate) {
  const int64_t tiles = count > 0 ? (count + kScanTile - 1) / kScanTile : 1;
  O* before = nullptr;
  if (tiles > 1) {
    O* sums = static_cast<O*>(allocate(tiles * int64_t(sizeof(O))));
    before = static_cast<O*>(allocate((tiles + 1) * int64_t(sizeof(O))));
    launch_blocks(stream, tiles, kBlock, 0, tile_sums<Value, O>, value, count, tiles, sums);
    exclusive_scan<O>(stream, ReadValue<O>{sums}, tiles, before, allocate);
  }
  launch_blocks(stream, tiles, kBlock, 0, scan_tiles<Value, O>, value, count, tiles, before, out);
}

}  // namespace graphkern::cuda
