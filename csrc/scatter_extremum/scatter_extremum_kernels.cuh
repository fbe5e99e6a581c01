// Which entry of a tensor won a place, from where it stands among the sorted entries.
#pragma once

#include "../common/scatter.cuh"

namespace graphkern::cuda {

// arg[i]: the position in [0, length) of entry[won[i]], or -1 where won[i] is.
template <typename P, typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) winning_positions(
    const P* __restrict__ won, const P* __restrict__ entry, I* __restrict__ arg, int64_t size, Divisor columns,
    Divisor length) {
  for (int64_t i = first_item(); i < size; i += item_stride()) {
    const int64_t place = won[i];
    if (place < 0) {
      arg[i] = -1;
      continue;
    }
    const int64_t row = columns.quotient(entry[place]);
    arg[i] = I(length.remainder(row, length.quotient(row)));
  }
}

}  // namespace graphkern::cuda
