// Reductions over the edges of each row: one thread a row and V features; no thread waits for another.
//
// A row of over kChunk edges would keep its threads busy long after all others, so chunk kernels first reduce its edges
// [c kChunk, (c + 1) kChunk) for each such c that begins inside it, and the row's own threads add the pieces in order.
// The result depends on the graph alone. The pieces take E F / kChunk accumulators.
#pragma once

#include "launch.cuh"

#ifndef GPU_CHUNK
#define GPU_CHUNK 1024  // tests choose a small one
#endif

namespace graphkern::cuda {

constexpr int64_t kChunk = GPU_CHUNK;  // edges

// Where a row's edges are: [begin, head) and then whole chunks, up to end. Light rows have no chunks.
struct RowRange {
  int64_t begin, head, end;
};

template <typename I>
__device__ inline RowRange row_range(const I* indptr, int64_t row) {
  const int64_t begin = indptr[row], end = indptr[row + 1];
  const int64_t head = (begin + kChunk - 1) / kChunk * kChunk;
  return {begin, end - begin > kChunk ? head : end, end};
}

// The row that holds an edge: the last whose edges begin at or before it.
template <typename I>
__device__ inline int64_t row_of(const I* indptr, int64_t num_rows, int64_t edge) {
  int64_t low = 0, high = num_rows;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (int64_t(indptr[middle]) <= edge) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// What a reduction goes over; columns are groups of V features.
struct Shape {
  int64_t num_rows, num_edges;
  Divisor columns;

  __host__ __device__ int64_t num_chunks() const { return num_edges > kChunk ? (num_edges + kChunk - 1) / kChunk : 0; }
};

// Body: V; State; indptr; State start(); void add(State&, int64_t begin, int64_t end, int64_t feature);
// void merge(State&, const State& later); void finish(State&, int64_t row, int64_t feature, int64_t degree).
// pieces: [num_chunks, F / V]
template <typename Body>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    reduce_chunks(Body body, Shape shape, typename Body::State* pieces) {
  const int64_t items = shape.num_chunks() * shape.columns.value();
  for (int64_t item = first_item(); item < items; item += item_stride()) {
    const int64_t chunk = shape.columns.quotient(item), begin = chunk * kChunk;
    const int64_t feature = shape.columns.remainder(item, chunk) * Body::V;
    const RowRange range = row_range(body.indptr, row_of(body.indptr, shape.num_rows, begin));
    if (range.head > begin) continue;  // a light row, or the head of a heavy one
    typename Body::State state = body.start();
    body.add(state, begin, begin + kChunk < range.end ? begin + kChunk : range.end, feature);
    pieces[item] = state;
  }
}

template <typename Body>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    reduce_rows(Body body, Shape shape, const typename Body::State* __restrict__ pieces) {
  const int64_t columns = shape.columns.value();
  for (int64_t item = first_item(); item < shape.num_rows * columns; item += item_stride()) {
    const int64_t row = shape.columns.quotient(item), column = shape.columns.remainder(item, row);
    const RowRange range = row_range(body.indptr, row);
    typename Body::State state = body.start();
    body.add(state, range.begin, range.head, column * Body::V);
#pragma unroll 1
    for (int64_t begin = range.head; begin < range.end; begin += kChunk) {
      body.merge(state, pieces[begin / kChunk * columns + column]);
    }
    body.finish(state, row, column * Body::V, range.end - range.begin);
  }
}

// allocate(bytes) gives device memory that lives until the kernels ran.
template <typename Body, typename Allocate>
void launch_reduction(
    Stream stream, const Body& body, int64_t num_rows, int64_t num_edges, int64_t features, Allocate&& allocate) {
  using State = typename Body::State;
  const Shape shape{num_rows, num_edges, Divisor(features / Body::V)};
  const int64_t items = shape.num_chunks() * shape.columns.value();
  State* pieces = items > 0 ? static_cast<State*>(allocate(items * int64_t(sizeof(State)))) : nullptr;
  launch(stream, items, reduce_chunks<Body>, body, shape, pieces);
  launch(stream, num_rows * shape.columns.value(), reduce_rows<Body>, body, shape, pieces);
}

template <int W>
struct Width {
  static constexpr int width = W;
};

// Calls f with the widest vector that fits: features a head divisible by it, and 16-byte aligned pointers.
template <typename T, typename F>
void dispatch_width(int64_t per_head, bool aligned, const F& f) {
  if (aligned && per_head % kWide<T> == 0) {
    f(Width<kWide<T>>{});
  } else {
    f(Width<1>{});
  }
}

}  // namespace graphkern::cuda
