// One hop along one relation: what the rows of the frontier take, then which edges, then the nodes that they lead to.
// Counts stay on the device; launches go by bounds.
#pragma once

#include "draw_kernels.cuh"
#include "relabel_kernels.cuh"

namespace graphkern::cuda {

// allocate(bytes) gives device memory that lives until the kernels ran.
template <typename T, typename Allocate>
T* make(int64_t count, Allocate&& allocate) {
  return static_cast<T*>(allocate(count * int64_t(sizeof(T))));
}

// How many edges a row takes.
struct Taken {
  const int64_t *taken, *first, *last;
  __device__ int64_t operator()(int64_t row) const { return row < *last - *first ? taken[row] : 0; }
};

// Fills what depends on the rows of `f`, and counts their edges. first, last: of HopEdges; indptr: see end_rows
template <typename I, typename Allocate>
void start_hop(
    Stream stream, Frontier<I>& f, const int64_t* first, int64_t* last, int64_t* too_many, I* indptr,
    Allocate&& allocate) {
  f.start = make<int64_t>(f.most_rows, allocate);
  f.degree = make<uint32_t>(f.most_rows, allocate);
  f.taken = make<int64_t>(f.most_rows, allocate);
  f.offset = make<int64_t>(f.most_rows + 1, allocate);
  f.size = f.degree;
  launch(stream, f.most_rows, read_rows<I>, f);
  if (!f.is_simple()) {
    f.size = make<uint32_t>(f.most_rows, allocate);
    launch(stream, f.most_rows * kWarp, count_rows<WarpTeam, I>, f);
    launch_blocks(stream, (f.most_rows + kWarp - 1) / kWarp, kBlock, 0, count_rows<BlockTeam, I>, f);
  }
  exclusive_scan<int64_t>(stream, Taken{f.taken, f.first, f.last}, f.most_rows, f.offset, allocate);
  launch(stream, f.most_rows > 0 ? f.most_rows : 1, end_rows<I>, f, first, last, too_many, indptr);
}

// Draws the edges and numbers the nodes that they lead to. known, next, type, types: see number_nodes
template <typename I, typename Allocate>
void finish_hop(
    Stream stream, const Frontier<I>& f, const HopEdges<I>& edges, const Found<I>& found, const int64_t* known,
    int64_t* next, int64_t type, int64_t types, Allocate&& allocate) {
  uint32_t* positions = nullptr;
  if (f.draw.mode == Mode::uniform && f.relation.weight == nullptr && f.draw.fanout > 0) {
    int width = 1;
    while (width < kWarp && width < f.draw.fanout) width *= 2;
    positions = make<uint32_t>(f.most_rows * f.draw.fanout, allocate);
    launch(stream, (f.most_rows * width + kWarp - 1) / kWarp * kWarp, draw_positions<I>, f, width, positions);
  }
  if (!f.is_simple()) {
    launch(stream, f.most_rows * kWarp, draw_rows<WarpTeam, I>, f, positions, edges);
    launch_blocks(stream, (f.most_rows + kWarp - 1) / kWarp, kBlock, 0, draw_rows<BlockTeam, I>, f, positions, edges);
  }
  int64_t* slot = make<int64_t>(edges.most, allocate);
  uint32_t* rank = make<uint32_t>(edges.most + 1, allocate);
  launch(stream, edges.most, find_columns<I>, f, positions, edges, found, slot);
  exclusive_scan<uint32_t>(stream, IsFirst<I>{edges, found.table, slot, found.event}, edges.most, rank, allocate);
  launch(
      stream, edges.most > types ? edges.most : types, number_nodes<I>, edges, found, slot, rank, known, next, type,
      types);
}

}  // namespace graphkern::cuda
