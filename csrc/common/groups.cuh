// Groups of neighboring lanes of a warp, one item each: `lanes` of them, a power of two, known at launch.
#pragma once

#include "warp.cuh"

#ifndef GPU_GROUP
#define GPU_GROUP 32  // lanes of a group at most; tests choose fewer
#endif

namespace graphkern::cuda {

// The fewest lanes, at least `least`, that take `count` values between them, or as many as a group may have.
inline int group_lanes(int64_t count, int least = 1) {
  int lanes = least;
  while (lanes < GPU_GROUP && lanes < count) lanes *= 2;
  return lanes;
}

__device__ inline int lane_in_group(int lanes) { return lane_id() & (lanes - 1); }

// Calls f(item, present) for the items [0, count), each by a group. All lanes of a warp call together: those that find
// no item are given the last one, and must not write.
template <typename F>
__device__ inline void for_groups(int lanes, int64_t count, const F& f) {
  const int64_t per_block = blockDim.x / unsigned(lanes);
  const int64_t of_warp = lane_id() / lanes;  // items of the warp before this group's
  int64_t item = int64_t(blockIdx.x) * per_block + threadIdx.x / unsigned(lanes);
  for (; item - of_warp < count; item += gridDim.x * per_block) f(item < count ? item : count - 1, item < count);
}

// Adds up `count` values over the lanes of a group; each lane gets the same bits.
template <int count, typename T>
__device__ inline void sum_group(T (&values)[count], int lanes) {
  for (int distance = lanes / 2; distance > 0; distance /= 2) {
#pragma unroll
    for (int i = 0; i < count; ++i) values[i] += __shfl_xor_sync(kAllLanes, values[i], distance);
  }
}

}  // namespace graphkern::cuda
