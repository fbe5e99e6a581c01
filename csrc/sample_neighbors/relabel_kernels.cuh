// Renumbering the nodes that a hop finds, in order of first sight.
//
// Every seed and every edge drawn is an event, in the order in which the reference sees them. The table has the first
// event of each node under its subgraph, so that no thread needs to come before another.
#pragma once

#include "../common/hash_table.cuh"
#include "../common/scan.cuh"
#include "frontier.cuh"

namespace graphkern::cuda {

// A node under its subgraph is one word: kNodeBits for the node, the others for the subgraph.
constexpr int kNodeBits = 40;

__device__ inline uint64_t word_of(int64_t node, const uint32_t* batch, int64_t at) {
  return uint64_t(node) | (batch != nullptr ? uint64_t(batch[at]) << kNodeBits : 0);
}

// The nodes of one type. local: [events] the place in `node` of what an event saw first; event: how many events there
// were before this hop's edges of the relation at hand
template <typename I>
struct Found {
  I* node;
  uint32_t *batch, *local;
  HashTable table;
  int64_t event;
};

// The first `count` nodes are the first events. With first_batch >= 0 they are seeds, whose subgraphs are numbered from
// it.
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) put_nodes(Found<I> found, int64_t count, int64_t first_batch) {
  for (int64_t i = first_item(); i < count; i += item_stride()) {
    if (found.batch != nullptr && first_batch >= 0) found.batch[i] = uint32_t(first_batch + i);
    found.local[i] = uint32_t(i);
    found.table.insert(word_of(found.node[i], found.batch, i), uint64_t(i));
  }
}

// Where rows begin among all edges of the relation, so far, and where the next hop does. too_many: whether that is so
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    end_rows(Frontier<I> f, const int64_t* first, int64_t* last, int64_t* too_many, I* indptr) {
  const int64_t rows = f.num_rows();
  for (int64_t row = first_item(); row < rows; row += item_stride()) indptr[*f.first + row] = I(*first + f.offset[row]);
  if (first_item() == 0) {
    const int64_t count = f.offset[f.most_rows];
    *too_many = count >= kTooMany;
    *last = *first + (count < kTooMany ? count : 0);
  }
}

// The nodes that edges lead to, each an event. slot: [count] where the table has them. positions: of draw_positions; in
// a simple frontier `edge` is written here
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    find_columns(Frontier<I> f, const uint32_t* positions, HopEdges<I> edges, Found<I> found, int64_t* slot) {
  const int64_t rows = f.num_rows(), first = *edges.first, count = edges.count();
  const bool simple = f.is_simple();
  for (int64_t e = first_item(); e < count; e += item_stride()) {
    const int64_t row = simple || f.batch != nullptr ? row_of(f.offset, rows, e) : 0;
    int64_t edge;
    if (simple) {
      const int64_t j = e - f.offset[row];
      edge = f.start[row] + (f.takes_all(f.size[row]) ? j : int64_t(positions[row * f.draw.fanout + j]));
    } else {
      edge = int64_t(edges.edge[first + e]);
    }
    const I column = f.relation.indices[edge];
    edges.edge[first + e] = f.relation.edge_id != nullptr ? f.relation.edge_id[edge] : I(edge);
    edges.column[first + e] = column;
    slot[e] = found.table.insert(word_of(column, f.batch, *f.first + row), uint64_t(found.event + e));
  }
}

// Whether an edge sees its node first.
template <typename I>
struct IsFirst {
  HopEdges<I> edges;
  HashTable table;
  const int64_t* slot;
  int64_t event;

  __device__ uint32_t operator()(int64_t e) const {
    return e < edges.count() && int64_t(table.slots[slot[e]].position) == event + e ? 1 : 0;
  }
};

// Columns become local positions, and new nodes join the others. rank: [most + 1] how many of the edges before see
// their node first; known, next: [types] how many nodes there were and are; type: that of the columns
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) number_nodes(
    HopEdges<I> edges, Found<I> found, const int64_t* slot, const uint32_t* rank, const int64_t* known, int64_t* next,
    int64_t type, int64_t types) {
  const int64_t first = *edges.first, count = edges.count(), before = known[type];
  for (int64_t e = first_item(); e < count; e += item_stride()) {
    const HashSlot seen = found.table.slots[slot[e]];
    const int64_t event = int64_t(seen.position) - found.event;
    const int64_t place = event < 0 ? int64_t(found.local[seen.position]) : before + rank[event];
    if (event == e) {
      found.local[seen.position] = uint32_t(place);
      found.node[place] = edges.column[first + e];
      if (found.batch != nullptr) found.batch[place] = uint32_t(seen.word >> kNodeBits);
    }
    edges.column[first + e] = I(place);
  }
  for (int64_t t = first_item(); t < types; t += item_stride()) next[t] = known[t] + (t == type ? rank[edges.most] : 0);
}

// indptr: what end_rows wrote; rows that no hop expanded are empty.
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    finish_indptr(const I* indptr, int64_t expanded, int64_t num_rows, int64_t num_edges, I* out) {
  for (int64_t row = first_item(); row <= num_rows; row += item_stride()) {
    out[row] = row < expanded ? indptr[row] : I(num_edges);
  }
}

template <typename From, typename To>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) copy_values(const From* from, int64_t count, To* to) {
  for (int64_t i = first_item(); i < count; i += item_stride()) to[i] = To(from[i]);
}

}  // namespace graphkern::cuda
