// The distinct values of a short or long list in any order, by a block and in memory of a fixed size: window by window,
// a bit for each value that occurs.
#pragma once

#include "warp.cuh"

#ifndef GPU_WINDOW_BITS
#define GPU_WINDOW_BITS (1 << 17)  // tests choose few
#endif

namespace graphkern::cuda {

constexpr int64_t kWindowBits = GPU_WINDOW_BITS;
constexpr int kWindowWords = int(kWindowBits / 32);
static_assert(kWindowBits % 32 == 0);

// The least value of the block's threads.
__device__ inline int64_t block_min(int64_t value) {
  GPU_SHARED(int64_t, least, [kBlock / kWarp]);
  const auto smaller = [](int64_t a, int64_t b) { return a < b ? a : b; };
  value = fold_lanes<kWarp>(value, smaller);
  __syncthreads();  // the last call's were read
  if (lane_id() == 0) least[warp_id()] = value;
  __syncthreads();
  for (int warp = 0; warp < kBlock / kWarp; ++warp) value = smaller(value, least[warp]);
  return value;
}

// values: [count], none negative. bits: [kWindowWords] in shared memory. All threads of the block call together.
//   for (Windows<I> windows(values, count, bits); windows.next();) ... bit i: begin() + i is there; size() bits are set
template <typename I>
class Windows {
 public:
  __device__ Windows(const I* values, int64_t count, unsigned* bits) : values_(values), count_(count), bits_(bits) {
    for (int64_t i = threadIdx.x; i < count; i += kBlock) skip(values[i]);
  }

  // Goes on with the window that begins at the least value that was in none so far, if any.
  __device__ bool next() {
    begin_ = block_min(rest_);
    if (begin_ == kNone) return false;
    for (int i = threadIdx.x; i < kWindowWords; i += kBlock) bits_[i] = 0;
    __syncthreads();
    rest_ = kNone;
    int mine = 0;
    for (int64_t i = threadIdx.x; i < count_; i += kBlock) {
      const int64_t value = values_[i], place = value - begin_;
      if (place >= kWindowBits) {
        skip(value);
      } else if (place >= 0) {
        const unsigned bit = 1u << (place % 32);
        mine += (atomicOr(&bits_[place / 32], bit) & bit) == 0 ? 1 : 0;
      }
    }
    exclusive_block_sum(mine, size_);
    return true;
  }

  __device__ int64_t begin() const { return begin_; }
  __device__ int size() const { return size_; }

 private:
  static constexpr int64_t kNone = INT64_MAX;

  __device__ void skip(int64_t value) { rest_ = value < rest_ ? value : rest_; }

  const I* values_;
  int64_t count_;
  unsigned* bits_;
  int64_t begin_ = 0, rest_ = kNone;  // rest: the least of this thread's values beyond the window
  int size_ = 0;
};

}  // namespace graphkern::cuda
