// The edges of a graph among some of its nodes. The edges of the nodes' rows, one row after the other, are looked up 32
// a warp: one bit each says whether it stays, and sums over the bits say where.
#pragma once

#include "../common/hash_table.cuh"
#include "../common/rows.cuh"
#include "../common/scan.cuh"

#ifndef GPU_MAP_NODES
#define GPU_MAP_NODES (1 << 22)  // of which a map is cheap to fill, however few are kept; tests choose few
#endif

namespace graphkern::cuda {

// The least position of a node among those that are kept: by a map [N], or a hash table where that is null.
struct Places {
  unsigned* map;
  HashTable table;

  static constexpr unsigned kNowhere = ~0u;

  __device__ void put(int64_t node, int64_t position) const {
    if (map != nullptr) {
      atomicMin(&map[node], unsigned(position));
    } else {
      table.insert(uint64_t(node), uint64_t(position));
    }
  }

  // -1 for a node that is not kept.
  __device__ int64_t find(int64_t node) const {
    if (map == nullptr) return table.find(uint64_t(node));
    return map[node] == kNowhere ? -1 : int64_t(map[node]);
  }
};

// nodes: [num_kept]. rows: [num_kept + 1] where the edges of each begin, counted over all of them.
template <typename I>
struct InducedArguments {
  const I *indptr, *indices, *nodes;
  int64_t num_kept;
  Places places;
  int64_t* rows;
};

template <typename I>
struct Degree {
  const I *indptr, *nodes;
  __device__ int64_t operator()(int64_t i) const { return int64_t(indptr[nodes[i] + 1]) - int64_t(indptr[nodes[i]]); }
};

template <typename I>
__global__ void __launch_bounds__(kBlock) put_nodes(const I* __restrict__ nodes, int64_t num_kept, Places places) {
  for (int64_t i = first_item(); i < num_kept; i += item_stride()) places.put(nodes[i], i);
}

// repeated: ~0, or what is found: the first position whose node has been before.
template <typename I>
__global__ void __launch_bounds__(kBlock)
    find_repeated(const I* __restrict__ nodes, int64_t num_kept, Places places, unsigned long long* repeated) {
  for (int64_t i = first_item(); i < num_kept; i += item_stride()) {
    if (places.find(nodes[i]) != i) atomicMin(repeated, static_cast<unsigned long long>(i));
  }
}

// Edge number i of the rows, as a position in indices.
template <typename I>
__device__ inline int64_t edge_of(const InducedArguments<I>& a, int64_t i) {
  const int64_t row = row_of(a.rows, a.num_kept, i);
  return int64_t(a.indptr[a.nodes[row]]) + i - a.rows[row];
}

// kept: [num_words] of which bit b of word w is edge 32 w + b.
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    mark_kept(const InducedArguments<I> a, int64_t num_edges, unsigned* kept) {
  const int64_t num_words = (num_edges + kWarp - 1) / kWarp;
  for (int64_t word = first_item() / kWarp; word < num_words; word += item_stride() / kWarp) {
    const int64_t i = word * kWarp + lane_id();
    const bool stays = i < num_edges && a.places.find(a.indices[edge_of(a, i)]) >= 0;
    const unsigned all = __ballot_sync(kAllLanes, stays);
    if (lane_id() == 0) kept[word] = all;
  }
}

struct CountBits {
  const unsigned* words;
  __device__ int operator()(int64_t i) const { return __popc(words[i]); }
};

// before: [num_words + 1] kept edges before each word. columns, edges: [kept edges]
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) write_kept(
    const InducedArguments<I> a, int64_t num_words, const unsigned* __restrict__ kept, const I* __restrict__ before,
    I* __restrict__ columns, I* __restrict__ edges) {
  for (int64_t i = first_item(); i < num_words * kWarp; i += item_stride()) {
    const unsigned word = kept[i / kWarp], bit = 1u << (i % kWarp);
    if ((word & bit) == 0) continue;
    const int64_t to = int64_t(before[i / kWarp]) + __popc(word & (bit - 1)), edge = edge_of(a, i);
    columns[to] = I(a.places.find(a.indices[edge]));
    edges[to] = I(edge);
  }
}

// bounds: [num_kept + 1]
template <typename I>
__global__ void __launch_bounds__(kBlock) write_bounds(
    const int64_t* __restrict__ rows, int64_t num_kept, const unsigned* __restrict__ kept, const I* __restrict__ before,
    I* __restrict__ bounds) {
  for (int64_t row = first_item(); row <= num_kept; row += item_stride()) {
    const int64_t word = rows[row] / kWarp;
    const int bit = int(rows[row] % kWarp);
    bounds[row] = I(before[word] + I(bit > 0 ? __popc(kept[word] & ((1u << bit) - 1)) : 0));
  }
}

// Where nodes are looked up, and where their rows begin: a.places and a.rows. repeated: [1]. allocate(bytes) gives
// device memory that lives until the kernels ran.
template <typename I, typename Allocate>
void place_nodes(
    Stream stream, InducedArguments<I>& a, int64_t num_nodes, unsigned long long* repeated, Allocate&& allocate) {
  if (num_nodes <= 8 * a.num_kept + GPU_MAP_NODES) {
    a.places.map = static_cast<unsigned*>(allocate(num_nodes * 4));
    launch(stream, num_nodes, fill<unsigned>, a.places.map, num_nodes, Places::kNowhere);
  } else {
    a.places.table = make_table(stream, a.num_kept, allocate);
  }
  launch(stream, a.num_kept, put_nodes<I>, a.nodes, a.num_kept, a.places);
  launch(stream, 1, fill<unsigned long long>, repeated, 1, ~0ull);
  launch(stream, a.num_kept, find_repeated<I>, a.nodes, a.num_kept, a.places, repeated);
  a.rows = static_cast<int64_t*>(allocate((a.num_kept + 1) * 8));
  exclusive_scan<int64_t>(stream, Degree<I>{a.indptr, a.nodes}, a.num_kept, a.rows, allocate);
}

// Which of num_edges edges are kept: words [num_words] and how many are before each, [num_words + 1]. bounds: [num_kept
// + 1]
template <typename I, typename Allocate>
void keep_edges(
    Stream stream, const InducedArguments<I>& a, int64_t num_edges, unsigned* words, I* before, I* bounds,
    Allocate&& allocate) {
  const int64_t num_words = (num_edges + kWarp - 1) / kWarp;
  launch(stream, num_words * kWarp, mark_kept<I>, a, num_edges, words);
  exclusive_scan<I>(stream, CountBits{words}, num_words, before, allocate);
  launch(stream, a.num_kept + 1, write_bounds<I>, a.rows, a.num_kept, words, before, bounds);
}

}  // namespace graphkern::cuda
