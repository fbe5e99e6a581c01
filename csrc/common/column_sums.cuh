// Sums of the rows of matrices, in two steps of fixed order.
#pragma once

#include "warp.cuh"

namespace graphkern::cuda {

constexpr int64_t kMostTiles = 256;  // of rows

// partials[tile, f] = the sum of values[row, f] over the rows of a tile, in order. values: [rows, columns]
template <typename A>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) column_tile_sums(
    const A* __restrict__ values, int64_t rows, int64_t tiles, Divisor columns, A* __restrict__ partials) {
  for (int64_t item = first_item(); item < tiles * columns.value(); item += item_stride()) {
    const int64_t tile = columns.quotient(item), f = columns.remainder(item, tile);
    const int64_t end = rows * (tile + 1) / tiles;
    A sum = 0;
#pragma unroll 4
    for (int64_t row = rows * tile / tiles; row < end; ++row) sum += values[row * columns.value() + f];
    partials[item] = sum;
  }
}

// out[f] = the sum of partials[tile, f]; a warp a column.
template <typename T>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    merge_column_sums(const Accumulate<T>* __restrict__ partials, int64_t tiles, int64_t columns, T* __restrict__ out) {
  for (int64_t f = first_item() / kWarp; f < columns; f += item_stride() / kWarp) {
    Accumulate<T> sum = 0;
    for (int64_t tile = lane_id(); tile < tiles; tile += kWarp) sum += partials[tile * columns + f];
    sum = fold_lanes(sum);
    if (lane_id() == 0) out[f] = from_accumulate<T>(sum);
  }
}

// The first step: returns how many tiles of `columns` sums it leaves in partials, at most kMostTiles.
template <typename A>
int64_t sum_column_tiles(Stream stream, const A* values, int64_t rows, int64_t columns, A* partials) {
  const int64_t tiles = rows < kMostTiles ? rows : kMostTiles;
  launch(stream, tiles * columns, column_tile_sums<A>, values, rows, tiles, Divisor(columns), partials);
  return tiles;
}

}  // namespace graphkern::cuda
