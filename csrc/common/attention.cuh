// Attention over the edges of a row, forward and backward: a group of lanes a row (or a chunk of a heavy row) and head
// walks the edges, a few at a time; its lanes share the features of the head.
#pragma once

#include "groups.cuh"
#include "random.cuh"

namespace graphkern::cuda {

constexpr uint32_t kDropoutStream = 0x44524F50;
constexpr int kFewestLanes = 2;           // of a group
constexpr int kAttentionBlocksPerSm = 2;  // 128 registers a thread hold the rows of both ends

// The weight of head h of the edge at position p is kept where the word of lane h % 4 at counter (p low, p high, h / 4,
// kDropoutStream) is below the threshold.
struct Dropout {
  bool active;
  uint32_t threshold;
  double scale;  // 1 / (1 - p)
  uint64_t seed;

  template <typename A>
  __device__ A factor(int64_t position, int64_t head) const {
    const uint64_t number = uint64_t(kDropoutStream) << 32 | uint32_t(head / 4);
    const RandomWords words = random_words(uint32_t(position), uint32_t(uint64_t(position) >> 32), number, seed);
    return words[uint32_t(head % 4)] < threshold ? A(scale) : A(0);
  }
};

inline Dropout make_dropout(double p, int64_t seed) {
  const double bound = (1.0 - p) * 4294967296.0;
  return {p > 0, bound < 4294967295.0 ? uint32_t(bound) : 4294967295u, 1.0 / (1.0 - p), uint64_t(seed)};
}

// edge: where in tensors of edges each edge is, or null for where it is in indices.
template <typename I>
struct Graph {
  const I *indptr, *indices, *edge;
  int64_t num_rows, num_edges;
};

// Registers of W features that a lane holds of a row.
template <typename T, int W>
constexpr int kRegisters = (sizeof(T) == 8 ? 2
                            : W == 1       ? 4
                                           : 8) /
                           W;

// The deepest head that a group holds.
template <typename T, int W>
constexpr int kDeepest = GPU_GROUP * W * kRegisters<T, W>;

// Tensors of features are [*, heads, depth]. Heads deeper than a group holds are in tiles, an item each.
struct HeadLayout {
  int heads, depth, lanes;
  Divisor tiles, parts;  // of a head; of a row

  int64_t lanes_of(int64_t rows) const { return rows * parts.value() * lanes; }
  __host__ __device__ int64_t features() const { return int64_t(heads) * depth; }
};

template <typename T, int W>
HeadLayout head_layout(int64_t heads, int64_t depth) {
  constexpr int64_t kHeld = W * kRegisters<T, W>;  // features a lane
  const int lanes = group_lanes((depth + kHeld - 1) / kHeld, kFewestLanes);
  const int64_t tiles = (depth + lanes * kHeld - 1) / (lanes * kHeld);
  return {int(heads), int(depth), lanes, Divisor(tiles), Divisor(heads * tiles)};
}

// As dispatch_width; f(Width<1>{}) for heads in tiles.
template <typename T, typename F>
void dispatch_head(int64_t depth, bool aligned, const F& f) {
  dispatch_width<T>(depth, aligned && depth <= kDeepest<T, kWide<T>>, f);
}

// What a lane works on: features `first`, first + step, ... of a head, W each.
struct HeadPlace {
  int64_t row;
  int head, first, tile, lanes, step;

  __device__ bool is_leader() const { return tile == 0 && lane_in_group(lanes) == 0; }
};

template <typename T, int W>
struct Features {
  static constexpr int R = kRegisters<T, W>;
  Vector<T, W> at[R];

  // head: [depth]; features beyond are 0.
  __device__ Features(const T* head, int depth, const HeadPlace& place) {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const int d = place.first + r * place.step;
      at[r] = d < depth ? load<T, W>(head + d) : Vector<T, W>{};
    }
  }
  Features() = default;

  __device__ Accumulate<T> operator()(int r, int w) const { return to_accumulate(at[r].at[w]); }
};

// What a walk keeps: numbers that all lanes know, and sums of features.
template <typename T, int W, int kNumbers, int kSets>
struct AttentionState {
  using A = Accumulate<T>;
  static constexpr int R = kRegisters<T, W>;
  A number[kNumbers > 0 ? kNumbers : 1];
  A sum[kSets][R][W];

  static __host__ __device__ int64_t size(const HeadLayout& layout) {
    return kNumbers * layout.parts.value() + kSets * layout.features();
  }

  // Calls f(place in the memory of a chunk, this lane's value there), for numbers where with_numbers.
  template <typename F>
  __device__ void for_values(
      const HeadLayout& layout, int64_t part, const HeadPlace& place, bool with_numbers, const F& f) {
#pragma unroll
    for (int n = 0; n < kNumbers; ++n) {
      if (with_numbers) f(part * kNumbers + n, number[n]);
    }
    const int64_t sums = kNumbers * layout.parts.value() + int64_t(place.head) * layout.depth;
#pragma unroll
    for (int s = 0; s < kSets; ++s) {
#pragma unroll
      for (int r = 0; r < R; ++r) {
        const int d = place.first + r * place.step;
        if (d >= layout.depth) continue;
#pragma unroll
        for (int w = 0; w < W; ++w) f(sums + s * layout.features() + d + w, sum[s][r][w]);
      }
    }
  }
};

template <typename T, int W, typename A>
__device__ inline void add_features(A (&sum)[kRegisters<T, W>][W], A weight, const Features<T, W>& features) {
#pragma unroll
  for (int r = 0; r < kRegisters<T, W>; ++r) {
#pragma unroll
    for (int w = 0; w < W; ++w) sum[r][w] += weight * features(r, w);
  }
}

// Writes a set of sums times `factor` to out [depth].
template <typename T, int W, int R, typename A>
__device__ inline void write_sums(const A (&sum)[R][W], A factor, T* out, int depth, const HeadPlace& place) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int d = place.first + r * place.step;
    if (d >= depth) continue;
    Vector<T, W> result;
#pragma unroll
    for (int w = 0; w < W; ++w) result.at[w] = from_accumulate<T>(sum[r][w] * factor);
    store(out + d, result);
  }
}

template <typename A, int kEdges>
struct EdgeBatch {
  static_assert(kEdges <= kFewestLanes);
  bool exists[kEdges];
  int64_t column[kEdges], position[kEdges];
  A factor[kEdges];  // of dropout
};

// kPositions: the body reads positions.
template <bool kPositions, int kEdges, typename A, typename I>
__device__ inline EdgeBatch<A, kEdges> read_edges(
    const Graph<I>& graph, const Dropout& dropout, int64_t head, int64_t begin, int64_t end) {
  EdgeBatch<A, kEdges> edges;
  const bool moved = graph.edge != nullptr && (kPositions || dropout.active);
#pragma unroll
  for (int k = 0; k < kEdges; ++k) {
    const int64_t e = begin + k;
    edges.exists[k] = e < end;
    edges.column[k] = e < end ? int64_t(graph.indices[e]) : 0;
    edges.position[k] = e < end && moved ? int64_t(graph.edge[e]) : e;
    edges.factor[k] = 1;
  }
  if (!dropout.active) return edges;
  // Each lane draws for one edge, and its neighbors for the others.
  const int turn = lane_id() % kEdges;
  int64_t position = edges.position[0];
#pragma unroll
  for (int k = 1; k < kEdges; ++k) position = turn == k ? edges.position[k] : position;
  const A drawn = dropout.factor<A>(position, head);
#pragma unroll
  for (int k = 0; k < kEdges; ++k) edges.factor[k] = __shfl_sync(kAllLanes, drawn, lane_id() - turn + k);
  return edges;
}

struct Larger {
  __device__ int operator()(int a, int b) const { return a > b ? a : b; }
};

// Body: T, A, I, W; kPositions; kEdges: read at once; State; Own; Graph<I> graph; HeadLayout layout; Dropout dropout;
// Own own(place); State start(); void add(State&, own, edges, place); void merge(State&, const State& later); void
// finish(State&, own, place, degree). pieces: [num_chunks, State::size()]
template <typename Body>
__global__ void __launch_bounds__(kBlock, kAttentionBlocksPerSm)
    attend(Body body, bool of_chunks, typename Body::A* pieces) {
  using State = typename Body::State;
  const HeadLayout& layout = body.layout;
  const int64_t places = of_chunks ? num_chunks_of(body.graph.num_edges) : body.graph.num_rows;
  const int64_t size = State::size(layout);
  for_groups(layout.lanes, places * layout.parts.value(), [&](int64_t item, bool present) {
    const int64_t number = layout.parts.quotient(item), part = layout.parts.remainder(item, number);
    const Span span = span_of(body.graph.indptr, body.graph.num_rows, number, of_chunks);
    const int head = int(layout.tiles.quotient(part)), tile = int(layout.tiles.remainder(part, head));
    const int step = layout.lanes * Body::W;
    const int first = tile * step * kRegisters<typename Body::T, Body::W> + lane_in_group(layout.lanes) * Body::W;
    const HeadPlace place{span.row, head, first, tile, layout.lanes, step};
    const typename Body::Own own = body.own(place);
    State state = body.start();
    const int64_t end = present ? span.end : span.begin;
    const int longest = fold_lanes(int(end - span.begin), Larger{});
#pragma unroll 1
    for (int done = 0; done < longest; done += Body::kEdges) {
      const auto edges = read_edges<Body::kPositions, Body::kEdges, typename Body::A>(
          body.graph, body.dropout, head, span.begin + done, end);
      body.add(state, own, edges, place);
    }
    if (!present) return;
    if (of_chunks) {
      if (span.begin == end) return;
      const bool first_lane = lane_in_group(layout.lanes) == 0;
      return state.for_values(layout, part, place, first_lane, [&](int64_t at, typename Body::A value) {
        pieces[number * size + at] = value;
      });
    }
#pragma unroll 1
    for (int64_t chunk = span.first_chunk(); span.is_heavy() && chunk * kChunk < span.range.end; ++chunk) {
      State later{};
      later.for_values(
          layout, part, place, true, [&](int64_t at, typename Body::A& value) { value = pieces[chunk * size + at]; });
      body.merge(state, later);
    }
    body.finish(state, own, place, span.range.end - span.range.begin);
  });
}

// allocate(bytes) gives device memory that lives until the kernels ran.
template <typename Body, typename Allocate>
void launch_attention(Stream stream, const Body& body, Allocate&& allocate) {
  using A = typename Body::A;
  const int64_t chunks = num_chunks_of(body.graph.num_edges), size = Body::State::size(body.layout);
  A* pieces = chunks > 0 ? static_cast<A*>(allocate(chunks * size * int64_t(sizeof(A)))) : nullptr;
  launch(stream, body.layout.lanes_of(chunks), attend<Body>, body, true, pieces);
  launch(stream, body.layout.lanes_of(body.graph.num_rows), attend<Body>, body, false, pieces);
}

// Of all but the maximum.
template <typename T, int W, int kNumbers, int kSets>
__device__ inline void scale_state(AttentionState<T, W, kNumbers, kSets>& state, Accumulate<T> share) {
#pragma unroll
  for (int n = 1; n < kNumbers; ++n) state.number[n] *= share;
#pragma unroll
  for (int s = 0; s < kSets; ++s) {
#pragma unroll
    for (int r = 0; r < kRegisters<T, W>; ++r) {
#pragma unroll
      for (int w = 0; w < W; ++w) state.sum[s][r][w] *= share;
    }
  }
}

// The softmax as it goes: numbers 0 and 1 are the maximum of the scores and the sum of exp(score - maximum); the other
// numbers and the sums are weighted like it. score: -inf where there is no edge. weight[k] = exp(score[k] - maximum)
template <int kEdges, typename State, typename A>
__device__ inline void add_scores(State& state, const A (&score)[kEdges], A (&weight)[kEdges]) {
  A top = state.number[0];
#pragma unroll
  for (int k = 0; k < kEdges; ++k) top = score[k] > top ? score[k] : top;
  const A from = top == -A(INFINITY) ? A(0) : top;
  scale_state(state, exp(state.number[0] - from));
  state.number[0] = top;
#pragma unroll
  for (int k = 0; k < kEdges; ++k) {
    weight[k] = exp(score[k] - from);
    state.number[1] += weight[k];
  }
}

// Adds all numbers from kFirst on, and all sums.
template <int kFirst, typename T, int W, int kNumbers, int kSets>
__device__ inline void add_state(
    AttentionState<T, W, kNumbers, kSets>& state, const AttentionState<T, W, kNumbers, kSets>& other) {
#pragma unroll
  for (int n = kFirst; n < kNumbers; ++n) state.number[n] += other.number[n];
#pragma unroll
  for (int s = 0; s < kSets; ++s) {
#pragma unroll
    for (int r = 0; r < kRegisters<T, W>; ++r) {
#pragma unroll
      for (int w = 0; w < W; ++w) state.sum[s][r][w] += other.sum[s][r][w];
    }
  }
}

template <typename T, int W, int kNumbers, int kSets>
__device__ inline void merge_softmax(
    AttentionState<T, W, kNumbers, kSets>& state, AttentionState<T, W, kNumbers, kSets> later) {
  using A = Accumulate<T>;
  const A top = later.number[0] > state.number[0] ? later.number[0] : state.number[0];
  const A from = top == -A(INFINITY) ? A(0) : top;
  scale_state(state, exp(state.number[0] - from));
  scale_state(later, exp(later.number[0] - from));
  state.number[0] = top;
  add_state<1>(state, later);
}

// stats[row, head] = lse and delta = grad . out; grad, out: [rows, heads, depth], lse: [rows, heads]
template <typename T, int W>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) attention_stats(
    const T* __restrict__ grad, const T* __restrict__ out, const Accumulate<T>* __restrict__ lse, int64_t num_rows,
    int64_t heads, int64_t depth, int lanes, Vector<Accumulate<T>, 2>* __restrict__ stats) {
  for_groups(lanes, num_rows * heads, [&](int64_t item, bool present) {
    Accumulate<T> delta[1] = {0};
    for (int64_t d = lane_in_group(lanes) * W; d < depth; d += lanes * W) {
      const Vector<T, W> g = load<T, W>(grad + item * depth + d), o = load<T, W>(out + item * depth + d);
#pragma unroll
      for (int w = 0; w < W; ++w) delta[0] += to_accumulate(g.at[w]) * to_accumulate(o.at[w]);
    }
    sum_group(delta, lanes);
    if (present && lane_in_group(lanes) == 0) stats[item] = {lse[item], delta[0]};
  });
}

}  // namespace graphkern::cuda
