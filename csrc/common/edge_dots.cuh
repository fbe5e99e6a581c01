// One dot product an edge and head, of a part of the edge's row and the same part of its column, by as many lanes as
// pay.
#pragma once

#include "rows.cuh"

namespace graphkern::cuda {

// N rows, E edges, H heads of D features each.
template <typename I>
struct EdgeHeads {
  const I *indptr, *indices;
  int64_t num_rows, num_edges, features, per_head;
  Divisor heads;
};

// Where the features of a head begin, in a tensor of rows and in one of columns.
struct HeadPlace {
  int64_t edge, row, column;
};

template <typename I>
__device__ inline HeadPlace head_place(const EdgeHeads<I>& shape, int64_t item) {
  const int64_t e = shape.heads.quotient(item), first = shape.heads.remainder(item, e) * shape.per_head;
  const int64_t row = row_of(shape.indptr, shape.num_rows, e);
  return {e, row * shape.features + first, int64_t(shape.indices[e]) * shape.features + first};
}

// out[edge[e] (or e), h]. Body: V; T; Accumulate<T> product(const HeadPlace&, int64_t d): of features d ... d + V - 1.
// A warp takes 32 edges and heads, one a lane to find where they are, then by 2^lane_bits lanes each, in turns.
template <typename Body, typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) dot_edges(
    Body body, EdgeHeads<I> shape, const I* __restrict__ edge, typename Body::T* __restrict__ out, int lane_bits) {
  using A = Accumulate<typename Body::T>;
  const int64_t items = shape.num_edges * shape.heads.value();
  const int lanes = 1 << lane_bits, groups = kWarp / lanes;
  for (int64_t first = first_item() - lane_id(); first < items; first += item_stride()) {
    const int64_t item = first + lane_id();
    const HeadPlace mine = head_place(shape, item < items ? item : items - 1);
    A result = 0;
#pragma unroll 1
    for (int turn = 0; turn < lanes; ++turn) {
      const int owner = turn * groups + lane_id() / lanes;
      const HeadPlace place{
          __shfl_sync(kAllLanes, mine.edge, owner), __shfl_sync(kAllLanes, mine.row, owner),
          __shfl_sync(kAllLanes, mine.column, owner)};
      A sum = 0;
#pragma unroll 2
      for (int64_t d = lane_id() % lanes * Body::V; d < shape.per_head; d += lanes * Body::V) {
        sum += body.product(place, d);
      }
#pragma unroll 1
      for (int distance = 1; distance < lanes; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
      const A found = __shfl_sync(kAllLanes, sum, lane_id() % groups * lanes);
      if (lane_id() / groups == turn) result = found;
    }
    if (item >= items) continue;
    const int64_t row = edge != nullptr ? int64_t(edge[mine.edge]) : mine.edge;
    out[row * shape.heads.value() + shape.heads.remainder(item, mine.edge)] = from_accumulate<typename Body::T>(result);
  }
}

// Two vectors a lane, so that their loads overlap.
template <typename Body, typename I>
void launch_edge_dots(
    Stream stream, const Body& body, const EdgeHeads<I>& shape, const I* edge, typename Body::T* out) {
  int lane_bits = 0;
  while (lane_bits < 5 && 2 * Body::V << (lane_bits + 1) <= shape.per_head) ++lane_bits;
  launch(stream, shape.num_edges * shape.heads.value(), dot_edges<Body, I>, body, shape, edge, out, lane_bits);
}

}  // namespace graphkern::cuda
