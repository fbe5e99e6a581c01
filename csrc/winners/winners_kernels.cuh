// Values put at, or taken from, the winning positions. Values are only moved, so words stand for them.
#pragma once

#include "../common/launch.cuh"

namespace graphkern::cuda {

// Where the values of arg [B, N, K] are in a tensor [B, length, K].
template <typename I>
struct Winners {
  const I* arg;
  int64_t size, length;    // values of arg, positions of a column
  Divisor batch, columns;  // values of arg in a batch, in a row

  // -1 where arg is not in [0, length).
  __device__ int64_t place(int64_t i) const {
    const int64_t position = arg[i];
    if (position < 0 || position >= length) return -1;
    const int64_t column = columns.remainder(i, columns.quotient(i));
    return (batch.quotient(i) * length + position) * columns.value() + column;
  }
};

// dense[arg] = at_winners
template <typename Word, typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    put_at_winners(Winners<I> winners, const Word* __restrict__ at_winners, Word* __restrict__ dense) {
  for (int64_t i = first_item(); i < winners.size; i += item_stride()) {
    const int64_t place = winners.place(i);
    if (place >= 0) dense[place] = at_winners[i];
  }
}

// at_winners = dense[arg]; 0 where arg is -1
template <typename Word, typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    take_at_winners(Winners<I> winners, const Word* __restrict__ dense, Word* __restrict__ at_winners) {
  for (int64_t i = first_item(); i < winners.size; i += item_stride()) {
    const int64_t place = winners.place(i);
    at_winners[i] = place >= 0 ? dense[place] : Word{};
  }
}

template <typename Word>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) clear(Word* words, int64_t count) {
  for (int64_t i = first_item(); i < count; i += item_stride()) words[i] = Word{};
}

}  // namespace graphkern::cuda
