// Reductions over the edges of each row, by as many lanes as pay.
//
// Light rows: a row and V features belong to one lane, or to a power of two of neighboring lanes that take its edges in
// turns and fold what they found: more of them where rows have many edges and few features. Rows of over kChunk edges:
// the warps of a first launch reduce the edges [c kChunk, (c + 1) kChunk) for each such c that begins inside the row.
// Rows of over kGroup such pieces: the warps of a second launch merge the pieces [g kGroup, (g + 1) kGroup) likewise.
// The row's own lanes merge what remains. The result depends on the graph and the shapes alone; no block waits for
// another. The pieces take E F / kChunk accumulators.
#pragma once

#include "warp.cuh"

#ifndef GPU_CHUNK
#define GPU_CHUNK 256  // tests choose a small one
#endif

namespace graphkern::cuda {

constexpr int64_t kChunk = GPU_CHUNK;   // edges
constexpr int64_t kGroup = kChunk / 4;  // pieces

// Where the parts of a row are: [begin, head) and then whole chunks, up to end. Light rows have no chunks.
struct RowRange {
  int64_t begin, head, end;
};

__device__ inline RowRange split_range(int64_t begin, int64_t end, int64_t chunk) {
  const int64_t head = (begin + chunk - 1) / chunk * chunk;
  return {begin, end - begin > chunk ? head : end, end};
}

template <typename I>
__device__ inline RowRange row_range(const I* indptr, int64_t row) {
  return split_range(indptr[row], indptr[row + 1], kChunk);
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

// What a reduction goes over: the rows of a CSR, and again for each further batch, whose edges come after those of the
// batch before. Columns are groups of V features.
struct Shape {
  int64_t num_batches;
  Divisor batch_rows, batch_edges, columns;

  __host__ __device__ int64_t num_rows() const { return num_batches * batch_rows.value(); }
  __host__ __device__ int64_t num_edges() const { return num_batches * batch_edges.value(); }
  __host__ __device__ int64_t num_chunks() const {
    return num_edges() > kChunk ? (num_edges() + kChunk - 1) / kChunk : 0;
  }
  __host__ __device__ int64_t num_groups() const {
    return num_chunks() > kGroup ? (num_chunks() + kGroup - 1) / kGroup : 0;
  }

  // An indptr that is not one of batch_edges edges never leads outside of them.
  template <typename I>
  __device__ RowRange range(const I* indptr, int64_t row) const {
    const int64_t batch = batch_rows.quotient(row), first = batch * batch_edges.value();
    const I* at = indptr + batch_rows.remainder(row, batch);
    return split_range(first + inside(at[0]), first + inside(at[1]), kChunk);
  }
  // The pieces of a row.
  template <typename I>
  __device__ RowRange pieces(const I* indptr, int64_t row) const {
    const RowRange edges = range(indptr, row);
    return split_range((edges.head + kChunk - 1) / kChunk, (edges.end + kChunk - 1) / kChunk, kGroup);
  }
  template <typename I>
  __device__ int64_t row_of_edge(const I* indptr, int64_t edge) const {
    const int64_t batch = batch_edges.quotient(edge);
    return batch * batch_rows.value() + row_of(indptr, batch_rows.value(), batch_edges.remainder(edge, batch));
  }

 private:
  __device__ int64_t inside(int64_t edge) const {
    return edge < 0 ? 0 : edge < batch_edges.value() ? edge : batch_edges.value();
  }
};

// What a lane works on: places (rows, chunks or groups) times columns, each for 2^share_bits lanes.
struct LaneItem {
  int64_t item, place, column;
  int part;
  bool exists;
};

__device__ inline LaneItem lane_item(const Shape& shape, int64_t thread, int64_t places, int share_bits) {
  const int64_t item = thread >> share_bits, place = shape.columns.quotient(item);
  return {item, place, shape.columns.remainder(item, place), int(thread) & ((1 << share_bits) - 1), place < places};
}

template <typename Value>
__device__ inline Value shuffle_words(const Value& value, int distance) {
  static_assert(sizeof(Value) % sizeof(unsigned) == 0);
  unsigned words[sizeof(Value) / sizeof(unsigned)];
  __builtin_memcpy(words, &value, sizeof(Value));
#pragma unroll
  for (unsigned& word : words) word = __shfl_xor_sync(kAllLanes, word, distance);
  Value result;
  __builtin_memcpy(&result, words, sizeof(Value));
  return result;
}

// Merges the states of 2^share_bits neighboring lanes.
template <typename Body>
__device__ inline void fold_states(const Body& body, typename Body::State& state, int share_bits) {
#pragma unroll 1
  for (int bit = 0; bit < share_bits; ++bit) body.merge(state, shuffle_words(state, 1 << bit));
}

// Blocks at a time on a multiprocessor: fewer where a lane's state takes many registers.
template <typename State>
constexpr int kResident = sizeof(State) < 64 ? kBlocksPerSm : 2;

// Body: V; State; indptr; State start(); void add(State&, int64_t begin, int64_t end, int64_t step, int64_t feature):
// each step-th edge; void merge(State&, const State& other): of other edges, before or after; void finish(State&,
// int64_t row, int64_t feature, int64_t degree). pieces: [num_chunks, F / V]
template <typename Body>
__global__ void __launch_bounds__(kBlock, kResident<typename Body::State>)
    reduce_chunks(Body body, Shape shape, int share_bits, typename Body::State* pieces) {
  const int64_t threads = shape.num_chunks() * shape.columns.value() << share_bits;
  for (int64_t first = first_item() - lane_id(); first < threads; first += item_stride()) {
    const LaneItem lane = lane_item(shape, first + lane_id(), shape.num_chunks(), share_bits);
    const int64_t begin = lane.place * kChunk;
    RowRange range{};
    if (lane.exists) range = shape.range(body.indptr, shape.row_of_edge(body.indptr, begin));
    const bool is_piece = range.head <= begin && begin < range.end;  // else of a light row, or the head of a heavy one
    if (!__any_sync(kAllLanes, is_piece)) continue;
    typename Body::State state = body.start();
    if (is_piece) {
      const int64_t end = begin + kChunk < range.end ? begin + kChunk : range.end;
      body.add(state, begin + lane.part, end, 1 << share_bits, lane.column * Body::V);
    }
    fold_states(body, state, share_bits);
    if (is_piece && lane.part == 0) pieces[lane.item] = state;
  }
}

// groups: [num_groups, F / V]
template <typename Body>
__global__ void __launch_bounds__(kBlock, kResident<typename Body::State>) merge_pieces(
    Body body, Shape shape, int share_bits, const typename Body::State* __restrict__ pieces,
    typename Body::State* groups) {
  const int64_t columns = shape.columns.value(), threads = shape.num_groups() * columns << share_bits;
  for (int64_t first = first_item() - lane_id(); first < threads; first += item_stride()) {
    const LaneItem lane = lane_item(shape, first + lane_id(), shape.num_groups(), share_bits);
    const int64_t begin = lane.place * kGroup;
    RowRange range{};
    if (lane.exists) range = shape.pieces(body.indptr, shape.row_of_edge(body.indptr, begin * kChunk));
    const bool is_group = range.head <= begin && begin < range.end;
    typename Body::State state = body.start();
    if (is_group) {
      const int64_t end = begin + kGroup < range.end ? begin + kGroup : range.end;
#pragma unroll 1
      for (int64_t piece = begin + lane.part; piece < end; piece += 1 << share_bits) {
        body.merge(state, pieces[piece * columns + lane.column]);
      }
    }
    fold_states(body, state, share_bits);
    if (is_group && lane.part == 0) groups[lane.item] = state;
  }
}

template <typename Body>
__global__ void __launch_bounds__(kBlock, kResident<typename Body::State>) reduce_rows(
    Body body, Shape shape, int share_bits, const typename Body::State* __restrict__ pieces,
    const typename Body::State* __restrict__ groups) {
  const int64_t columns = shape.columns.value(), threads = shape.num_rows() * columns << share_bits;
  for (int64_t first = first_item() - lane_id(); first < threads; first += item_stride()) {
    const LaneItem lane = lane_item(shape, first + lane_id(), shape.num_rows(), share_bits);
    const int share = 1 << share_bits;
    RowRange edges{};
    typename Body::State state = body.start();
    if (lane.exists) {
      edges = shape.range(body.indptr, lane.place);
      body.add(state, edges.begin + lane.part, edges.head, share, lane.column * Body::V);
    }
    if (edges.head < edges.end) {
      const RowRange heavy = shape.pieces(body.indptr, lane.place);
#pragma unroll 1
      for (int64_t piece = heavy.begin + lane.part; piece < heavy.head; piece += share) {
        body.merge(state, pieces[piece * columns + lane.column]);
      }
#pragma unroll 1
      for (int64_t group = (heavy.head + kGroup - 1) / kGroup + lane.part; group * kGroup < heavy.end; group += share) {
        body.merge(state, groups[group * columns + lane.column]);
      }
    }
    fold_states(body, state, share_bits);
    if (lane.exists && lane.part == 0) {
      body.finish(state, lane.place, lane.column * Body::V, edges.end - edges.begin);
    }
  }
}

// The power of two of lanes that share a row and a column: together with all columns no more than a warp, and at least
// kLaneEdges edges each.
inline int share_bits_of(int64_t columns, int64_t edges) {
  constexpr int64_t kLaneEdges = 4;
  int bits = 0;
  while (columns << (bits + 1) <= kWarp && kLaneEdges << (bits + 1) <= edges) ++bits;
  return bits;
}

// allocate(bytes) gives device memory that lives until the kernels ran. num_rows, num_edges: of each batch.
template <typename Body, typename Allocate>
void launch_reduction(
    Stream stream, const Body& body, int64_t num_rows, int64_t num_edges, int64_t features, Allocate&& allocate,
    int64_t num_batches = 1) {
  using State = typename Body::State;
  const int64_t columns = features / Body::V;
  const Shape shape{num_batches, Divisor(num_rows), Divisor(num_edges), Divisor(columns)};
  if (shape.num_rows() * columns == 0) return;
  const auto make = [&](int64_t places) {
    return places > 0 ? static_cast<State*>(allocate(places * columns * int64_t(sizeof(State)))) : nullptr;
  };
  State *pieces = make(shape.num_chunks()), *groups = make(shape.num_groups());
  const int all = share_bits_of(columns, kWarp * kChunk), some = share_bits_of(columns, num_edges / num_rows);
  const auto threads = [&](int64_t places, int share_bits) { return places * columns << share_bits; };
  launch(stream, threads(shape.num_chunks(), all), reduce_chunks<Body>, body, shape, all, pieces);
  launch(stream, threads(shape.num_groups(), all), merge_pieces<Body>, body, shape, all, pieces, groups);
  launch(stream, threads(shape.num_rows(), some), reduce_rows<Body>, body, shape, some, pieces, groups);
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
