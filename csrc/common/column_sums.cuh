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

inline int64_t column_tiles(int64_t rows) { return rows < kMostTiles ? rows : kMostTiles; }

// out [columns] = the sums of the rows of two matrices. first: [num_first, columns], second: [num_second, columns].
// allocate(bytes) gives device memory that lives until the kernels ran.
template <typename T, typename Allocate>
void sum_columns(
    Stream stream, const Accumulate<T>* first, int64_t num_first, const Accumulate<T>* second, int64_t num_second,
    int64_t columns, T* out, Allocate&& allocate) {
  using A = Accumulate<T>;
  const int64_t before = column_tiles(num_first), tiles = before + column_tiles(num_second);
  A* partials = static_cast<A*>(allocate(tiles * columns * int64_t(sizeof(A))));
  const auto reduce = [&](const A* values, int64_t rows, A* to) {
    const int64_t count = column_tiles(rows);
    launch(stream, count * columns, column_tile_sums<A>, values, rows, count, Divisor(columns), to);
  };
  reduce(first, num_first, partials);
  reduce(second, num_second, partials + before * columns);
  launch(stream, columns * kWarp, merge_column_sums<T>, partials, tiles, columns, out);
}

}  // namespace graphkern::cuda
