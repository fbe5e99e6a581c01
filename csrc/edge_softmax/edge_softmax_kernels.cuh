// Softmax of scores over the edges of each row, and its gradient: a group of lanes a row and W heads.
#pragma once

#include "../common/groups.cuh"

namespace graphkern::cuda {

constexpr int kRowLanes = 8;

// Columns are groups of W heads.
struct SoftmaxShape {
  int64_t num_rows, num_edges;
  Divisor columns;

  __host__ __device__ int64_t num_chunks() const { return num_chunks_of(num_edges); }
};

// score, out: [E, heads]. Maximum and sum of exp(score - maximum) change together.
template <typename T, int W>
struct SoftmaxBody {
  using A = Accumulate<T>;
  struct State {
    Vector<A, W> maximum, sum;
  };
  static constexpr int V = W;

  const T* score;
  T* out;

  __device__ State start() const {
    State state;
    for (int v = 0; v < W; ++v) {
      state.maximum.at[v] = -A(INFINITY);
      state.sum.at[v] = 0;
    }
    return state;
  }

  __device__ void add(State& state, int64_t at) const {
    const Vector<T, W> value = load<T, W>(score + at);
    for (int v = 0; v < W; ++v) merge(state, v, to_accumulate(value.at[v]), 1);
  }

  __device__ void merge(State& state, const State& other) const {
    for (int v = 0; v < W; ++v) merge(state, v, other.maximum.at[v], other.sum.at[v]);
  }

  __device__ void write(const State& state, int64_t at) const {
    const Vector<T, W> value = load<T, W>(score + at);
    Vector<T, W> result;
    for (int v = 0; v < W; ++v) {
      const A maximum = state.maximum.at[v], total = state.sum.at[v] + (maximum - maximum);  // NaN for an infinite one
      result.at[v] = from_accumulate<T>(exp(to_accumulate(value.at[v]) - maximum) / total);
    }
    store(out + at, result);
  }

 private:
  // The same bits in either order; a NaN stays in the sum.
  __device__ void merge(State& state, int v, A maximum, A sum) const {
    const A mine = state.maximum.at[v];
    const bool more = maximum > mine;
    const A top = more ? maximum : mine, low = more ? mine : maximum;
    const A share = exp(low - (top == -A(INFINITY) ? A(0) : top));
    state.sum.at[v] = more ? sum + state.sum.at[v] * share : state.sum.at[v] + sum * share;
    state.maximum.at[v] = top;
  }
};

// out = weight * (grad - sum over the row of weight * grad); grad, weight, out: [E, heads]
template <typename T, int W>
struct SoftmaxGradientBody {
  using A = Accumulate<T>;
  using State = Vector<A, W>;
  static constexpr int V = W;

  const T *grad, *weight;
  T* out;

  __device__ State start() const { return State{}; }

  __device__ void add(State& state, int64_t at) const {
    const Vector<T, W> g = load<T, W>(grad + at), w = load<T, W>(weight + at);
    for (int v = 0; v < W; ++v) state.at[v] += to_accumulate(w.at[v]) * to_accumulate(g.at[v]);
  }

  __device__ void merge(State& state, const State& other) const {
    for (int v = 0; v < W; ++v) state.at[v] += other.at[v];
  }

  __device__ void write(const State& state, int64_t at) const {
    const Vector<T, W> g = load<T, W>(grad + at), w = load<T, W>(weight + at);
    Vector<T, W> result;
    for (int v = 0; v < W; ++v) {
      result.at[v] = from_accumulate<T>(to_accumulate(w.at[v]) * (to_accumulate(g.at[v]) - state.at[v]));
    }
    store(out + at, result);
  }
};

// States of chunks of heavy rows (see rows.cuh), or those of rows: light rows are written, those of heavy ones left in
// totals at their first chunk. pieces, totals: [num_chunks, columns]
template <typename Body, typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) softmax_rows(
    Body body, SoftmaxShape shape, const I* indptr, bool of_chunks, typename Body::State* pieces,
    typename Body::State* totals) {
  const int64_t columns = shape.columns.value(), lane = lane_in_group(kRowLanes);
  const int64_t items = (of_chunks ? shape.num_chunks() : shape.num_rows) * columns;
  for_groups(kRowLanes, items, [&](int64_t item, bool present) {
    const int64_t number = shape.columns.quotient(item), column = shape.columns.remainder(item, number);
    const Span span = span_of(indptr, shape.num_rows, number, of_chunks);
    const auto at = [&](int64_t e) { return (e * columns + column) * Body::V; };
    typename Body::State state = body.start();
#pragma unroll 1
    for (int64_t e = span.begin + lane; e < span.end; e += kRowLanes) body.add(state, at(e));
    if (!of_chunks && span.is_heavy()) {
#pragma unroll 1
      for (int64_t chunk = span.first_chunk() + lane; chunk * kChunk < span.range.end; chunk += kRowLanes) {
        body.merge(state, pieces[chunk * columns + column]);
      }
    }
#pragma unroll 1
    for (int distance = kRowLanes / 2; distance > 0; distance /= 2) body.merge(state, shuffle_words(state, distance));
    if (!present) return;
    if (of_chunks) {
      if (span.begin < span.end && lane == 0) pieces[item] = state;
    } else if (span.is_heavy()) {
      if (lane == 0) totals[span.first_chunk() * columns + column] = state;
    } else {
#pragma unroll 1
      for (int64_t e = span.begin + lane; e < span.end; e += kRowLanes) body.write(state, at(e));
    }
  });
}

// Writes the edges of heavy rows: one block for edges [c kChunk, (c + 1) kChunk), which two heavy rows share at most.
template <typename Body, typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    softmax_heavy_rows(Body body, SoftmaxShape shape, const I* indptr, const typename Body::State* totals) {
  const int64_t columns = shape.columns.value();
  for (int64_t chunk = blockIdx.x; chunk < shape.num_chunks(); chunk += gridDim.x) {
    const int64_t begin = chunk * kChunk;
    const int64_t end = begin + kChunk < shape.num_edges ? begin + kChunk : shape.num_edges;
    const int64_t first = row_of(indptr, shape.num_rows, begin), last = row_of(indptr, shape.num_rows, end - 1);
    for (int64_t row = first; row <= last; row += last > first ? last - first : 1) {
      const RowRange range = row_range(indptr, row);
      if (range.head == range.end) continue;
      const int64_t from = range.begin > begin ? range.begin : begin, to = range.end < end ? range.end : end;
      for (int64_t item = from * columns + threadIdx.x; item < to * columns; item += kBlock) {
        const int64_t e = shape.columns.quotient(item), column = shape.columns.remainder(item, e);
        body.write(totals[range.head / kChunk * columns + column], (e * columns + column) * Body::V);
      }
    }
  }
}

template <typename Body, typename I, typename Allocate>
void softmax(
    Stream stream, const Body& body, const I* indptr, int64_t num_rows, int64_t num_edges, int64_t heads,
    Allocate&& allocate) {
  using State = typename Body::State;
  const SoftmaxShape shape{num_rows, num_edges, Divisor(heads / Body::V)};
  const int64_t columns = shape.columns.value(), chunks = columns > 0 ? shape.num_chunks() : 0;
  State *pieces = nullptr, *totals = nullptr;
  if (chunks > 0) {
    pieces = static_cast<State*>(allocate(2 * chunks * columns * int64_t(sizeof(State))));
    totals = pieces + chunks * columns;
  }
  const auto kernel = softmax_rows<Body, I>;
  launch(stream, chunks * columns * kRowLanes, kernel, body, shape, indptr, true, pieces, totals);
  launch(stream, num_rows * columns * kRowLanes, kernel, body, shape, indptr, false, pieces, totals);
  launch_blocks(stream, chunks, kBlock, 0, softmax_heavy_rows<Body, I>, body, shape, indptr, totals);
}

}  // namespace graphkern::cuda
