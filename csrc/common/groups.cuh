// Groups of neighboring lanes of a warp, one item each: `lanes` of them, a power of two, known at launch. Items may be
// rows, heavy ones split as in rows.cuh: a first launch goes over chunks, a second over rows.
#pragma once

#include "rows.cuh"

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

// The edges [begin, end) of one item: of a chunk of a heavy row (none for other chunks), or of a row up to its chunks.
struct Span {
  int64_t row, begin, end;
  RowRange range;  // of the row

  __device__ bool is_heavy() const { return range.head < range.end; }
  __device__ int64_t first_chunk() const { return range.head / kChunk; }
};

template <typename I>
__device__ inline Span span_of(const I* indptr, int64_t num_rows, int64_t number, bool of_chunks) {
  const int64_t row = of_chunks ? row_of(indptr, num_rows, number * kChunk) : number;
  const RowRange range = row_range(indptr, row);
  if (!of_chunks) return {row, range.begin, range.head, range};
  const int64_t begin = number * kChunk, end = begin + kChunk < range.end ? begin + kChunk : range.end;
  return {row, begin, range.head <= begin ? end : begin, range};
}

inline __host__ __device__ int64_t num_chunks_of(int64_t num_edges) {
  return num_edges > kChunk ? (num_edges + kChunk - 1) / kChunk : 0;
}

}  // namespace graphkern::cuda
