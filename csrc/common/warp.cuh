// What the lanes of a warp, and the threads of a block, do together. Every lane of the warp (thread of the block)
// calls.
#pragma once

#include "launch.cuh"

namespace graphkern::cuda {

constexpr unsigned kAllLanes = 0xffffffff;
constexpr int kWarp = 32;

__device__ inline int lane_id() { return int(threadIdx.x % kWarp); }
__device__ inline int warp_id() { return int(threadIdx.x / kWarp); }

struct Sum {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

// Folds the values of `width` (a power of two) neighboring lanes; each gets the result. The order depends on width
// alone.
template <int width = kWarp, typename T, typename Fold = Sum>
__device__ inline T fold_lanes(T value, const Fold& fold = {}) {
#pragma unroll
  for (int distance = width / 2; distance > 0; distance /= 2) {
    value = fold(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

// The sum of this lane's value and those of the lanes before it.
template <typename T>
__device__ inline T inclusive_sum(T value) {
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const T before = __shfl_up_sync(kAllLanes, value, distance);
    if (lane_id() >= distance) value += before;
  }
  return value;
}

// The sum of the values of the threads of this block before this one, and of all of them. Blocks of kBlock threads.
template <typename T>
__device__ inline T exclusive_block_sum(T value, T& total) {
  GPU_SHARED(T, sums, [kBlock / kWarp]);
  const T inclusive = inclusive_sum(value);
  __syncthreads();  // the last call's sums were read
  if (lane_id() == kWarp - 1) sums[warp_id()] = inclusive;
  __syncthreads();
  T before = 0;
  total = 0;
  for (int warp = 0; warp < kBlock / kWarp; ++warp) {
    if (warp == warp_id()) before = total;
    total += sums[warp];
  }
  return before + inclusive - value;
}

}  // namespace graphkern::cuda
