// Columns that a row does not have. The bits are those of ops/sample_negatives/reference.py.
#pragma once

#include "../common/random.cuh"
#include "../common/windows.cuh"

namespace graphkern::cuda {

// rows: [num_rows]; out: [num_rows, num]. A row that has every column gets -1.
template <typename I>
struct NegativeArguments {
  const I *indptr, *indices, *rows;
  I* out;
  int64_t num_cols, num_rows, num;
  uint64_t seed;
};

// The ranks, among `absent` columns, of a row's draws 4 block to 4 block + 3, as far as `count` goes.
struct Ranks {
  uint32_t at[4];

  __device__ Ranks(int64_t block, uint32_t absent, int64_t row, int64_t count, uint64_t seed) {
    const RandomWords words = random_words(uint32_t(block), 0, uint64_t(row), seed);
#pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
      at[lane] = lane < count ? bounded(words[lane], absent, uint64_t(4 * block + lane), uint64_t(row), seed) : 0;
    }
  }
};

// The absent column of a rank. set: ascending, each once; before set[k] there are set[k] - k absent columns.
template <typename I>
__device__ inline int64_t absent_column(const I* set, int64_t size, uint32_t rank) {
  int64_t low = 0, high = size;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (int64_t(set[middle]) - middle <= int64_t(rank)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return rank + low;
}

// Rows are sets, ascending. One thread a block of four draws, of which a row takes `blocks`.
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) draw_from_sets(const NegativeArguments<I> a, Divisor blocks) {
  for (int64_t item = first_item(); item < a.num_rows * blocks.value(); item += item_stride()) {
    const int64_t row = blocks.quotient(item), block = blocks.remainder(item, row);
    const int64_t begin = a.indptr[a.rows[row]], size = int64_t(a.indptr[a.rows[row] + 1]) - begin;
    const int64_t count = a.num - 4 * block, absent = a.num_cols - size;
    const Ranks ranks(block, uint32_t(absent), row, count, a.seed);
    I* out = a.out + row * a.num + 4 * block;
#pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
      if (lane < count) out[lane] = absent > 0 ? I(absent_column(a.indices + begin, size, ranks.at[lane])) : I(-1);
    }
  }
}

constexpr int kWordsPerThread = (kWindowWords + kBlock - 1) / kBlock;

// The place of the bit of a rank among those that are 0. before: [kBlock] such bits before each thread's words.
__device__ inline int64_t zero_of_rank(const unsigned* bits, const int* before, int rank) {
  int share = 0;  // the last that begins at the rank or before
  for (int half = kBlock / 2; half > 0; half /= 2) share += before[share + half] <= rank ? half : 0;
  int left = rank - before[share], word = share * kWordsPerThread;
  for (int zeros; (zeros = __popc(~bits[word])) <= left; ++word) left -= zeros;
  unsigned rest = ~bits[word];
  for (; left > 0; --left) rest &= rest - 1;
  return int64_t(word) * 32 + __ffs(int(rest)) - 1;
}

// Calls f(rank, where its column goes) for each of a row's draws. By a block.
template <typename I, typename F>
__device__ inline void for_draws(const NegativeArguments<I>& a, int64_t row, uint32_t absent, const F& f) {
  I* out = a.out + row * a.num;
  for (int64_t block = threadIdx.x; 4 * block < a.num; block += kBlock) {
    const Ranks ranks(block, absent, row, a.num - 4 * block, a.seed);
#pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
      if (4 * block + lane < a.num) f(int64_t(ranks.at[lane]), out[4 * block + lane]);
    }
  }
}

// Rows in any order, columns more than once. One block a row, which looks at its columns window by window, first to
// count them.
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) draw_from_rows(const NegativeArguments<I> a) {
  GPU_SHARED(unsigned, bits, [kWindowWords]);
  GPU_SHARED(int, before, [kBlock]);
  for (int64_t row = blockIdx.x; row < a.num_rows; row += gridDim.x) {
    const int64_t begin = a.indptr[a.rows[row]], degree = int64_t(a.indptr[a.rows[row] + 1]) - begin;
    int64_t size = 0;
    for (Windows<I> windows(a.indices + begin, degree, bits); windows.next();) size += windows.size();
    const uint32_t absent = uint32_t(a.num_cols - size);
    int64_t drawn = 0;  // ranks below it have their columns
    size = 0;
    for (Windows<I> windows(a.indices + begin, degree, bits); windows.next(); size += windows.size()) {
      int mine = 0, total;
      for (int i = 0; i < kWordsPerThread; ++i) {
        const int word = int(threadIdx.x) * kWordsPerThread + i;
        if (word < kWindowWords) mine += __popc(~bits[word]);
      }
      before[threadIdx.x] = exclusive_block_sum(mine, total);
      __syncthreads();
      const int64_t start = windows.begin() - size;  // absent columns before the window
      for_draws(a, row, absent, [&](int64_t rank, I& column) {
        if (rank < drawn || rank >= start + total) return;
        column = I(rank < start ? rank + size : windows.begin() + zero_of_rank(bits, before, int(rank - start)));
      });
      drawn = start + total;
    }
    for_draws(a, row, absent, [&](int64_t rank, I& column) {
      if (absent == 0) column = I(-1);
      if (absent != 0 && rank >= drawn) column = I(rank + size);
    });
  }
}

// distinct: the columns of each row ascend, each once.
template <typename I>
void sample_negatives(Stream stream, const NegativeArguments<I>& a, bool distinct) {
  const int64_t blocks = (a.num + 3) / 4;
  if (distinct) {
    launch(stream, a.num_rows * blocks, draw_from_sets<I>, a, Divisor(blocks));
  } else if (a.num > 0) {
    launch_blocks(stream, a.num_rows, kBlock, 0, draw_from_rows<I>, a);
  }
}

}  // namespace graphkern::cuda
