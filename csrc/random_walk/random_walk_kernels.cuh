// Random walks, one a thread. The bits are those of ops/random_walk/reference.py.
#pragma once

#include "../common/random.cuh"

namespace graphkern::cuda {

// indptr, indices: the graph; set_indptr, set_indices: its rows in ascending order, each column once, or null. start:
// [B]; out: [B, length + 1]. weight: of an edge back, to a neighbor of the previous node, elsewhere; the largest is
// 2^62.
template <typename I>
struct WalkArguments {
  const I *indptr, *indices, *set_indptr, *set_indices, *start;
  I* out;
  int64_t num_walks, length;
  uint64_t back, near, far, seed;
};

template <typename I>
__global__ void __launch_bounds__(kBlock) walk_uniform(const WalkArguments<I> a) {
  for (int64_t walk = first_item(); walk < a.num_walks; walk += item_stride()) {
    I* out = a.out + walk * (a.length + 1);
    I node = a.start[walk];
    out[0] = node;
    RandomWords words{};
    for (uint32_t step = 0; step < a.length; ++step) {
      if (step % 4 == 0) words = random_words(step / 4, 0, uint64_t(walk), a.seed);
      const int64_t begin = a.indptr[node], degree = int64_t(a.indptr[node + 1]) - begin;
      if (degree > 0)
        node = a.indices[begin + bounded(words[step % 4], uint32_t(degree), step, uint64_t(walk), a.seed)];
      out[step + 1] = node;
    }
  }
}

// A walk of second order: from `previous`, or from nowhere if that is negative, over `node`, which has edges.
template <typename I>
class Node2VecStep {
 public:
  __device__ Node2VecStep(const WalkArguments<I>& arguments, int64_t walk, I previous, I node)
      : a_(arguments),
        walk_(walk),
        previous_(previous),
        begin_(arguments.indptr[node]),
        degree_(uint32_t(int64_t(arguments.indptr[node + 1]) - begin_)) {}

  __device__ uint32_t degree() const { return degree_; }

  // Whether the walk takes the edge that is proposed to it; column: where it leads.
  __device__ bool accepts(uint32_t step, uint32_t attempt, I& column) const {
    if (degree_ == 1) {
      column = a_.indices[begin_];
      return true;
    }
    const RandomWords words = random_words(2 * step, attempt, uint64_t(walk_), a_.seed);
    const uint64_t product = uint64_t(words.x) * degree_;
    if (is_rejected(product, degree_)) return false;
    column = a_.indices[begin_ + int64_t(product >> 32)];
    return previous_ < 0 || is_below_weight(uint64_t(words.w) << 30 | words.z >> 2, column);
  }

  // An edge by the weights of all: the first whose running sum exceeds a uniform integer below their total.
  __device__ I draw_from_all(uint32_t step) const {
    const int64_t end = begin_ + degree_;
    Wide total = 0, mask = 1;
    for (int64_t e = begin_; e < end; ++e) total += weight_of(a_.indices[e]);
    while (mask < total) mask = mask << 1 | 1;
    Wide share = total;
    for (uint32_t attempt = 0; share >= total; ++attempt) {
      const RandomWords words = random_words(2 * step + 1, attempt, uint64_t(walk_), a_.seed);
      share = (Wide(words.z) << 64 | uint64_t(words.y) << 32 | words.x) & mask;
    }
    for (int64_t e = begin_;; ++e) {
      const I column = a_.indices[e];
      const uint64_t weight = weight_of(column);
      if (share < weight) return column;
      share -= weight;
    }
  }

 private:
  __extension__ typedef unsigned __int128 Wide;

  // Asks about the previous row only where the answer counts.
  __device__ bool is_below_weight(uint64_t share, I column) const {
    if (column == previous_) return share < a_.back;
    if (share < a_.near && share < a_.far) return true;
    return (share < a_.near || share < a_.far) && is_in_row(column, previous_) == (a_.near > a_.far);
  }

  __device__ uint64_t weight_of(I column) const {
    if (previous_ < 0) return a_.far;
    if (column == previous_) return a_.back;
    return a_.near != a_.far && is_in_row(column, previous_) ? a_.near : a_.far;
  }

  __device__ bool is_in_row(I column, I row) const {
    if (a_.set_indptr != nullptr) {
      int64_t at = a_.set_indptr[row], size = int64_t(a_.set_indptr[row + 1]) - at;
      for (; size > 1; size -= size / 2) at += a_.set_indices[at + size / 2] <= column ? size / 2 : 0;
      return size == 1 && a_.set_indices[at] == column;
    }
    for (int64_t e = a_.indptr[row]; e < int64_t(a_.indptr[row + 1]); ++e) {
      if (a_.indices[e] == column) return true;
    }
    return false;
  }

  const WalkArguments<I>& a_;
  int64_t walk_;
  I previous_;
  int64_t begin_;
  uint32_t degree_;
};

// One proposal an iteration: a walk that was refused holds up no other.
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) walk_node2vec(const WalkArguments<I> a) {
  for (int64_t walk = first_item(); walk < a.num_walks; walk += item_stride()) {
    I* out = a.out + walk * (a.length + 1);
    I node = a.start[walk], previous = -1;
    out[0] = node;
    for (uint32_t step = 0, attempt = 0; step < a.length;) {
      const Node2VecStep<I> way(a, walk, previous, node);
      I column = node;
      if (way.degree() > 0) {
        if (!way.accepts(step, attempt, column)) {
          if (++attempt < way.degree()) continue;
          column = way.draw_from_all(step);
        }
        previous = node;
        node = column;
      }
      attempt = 0;
      out[++step] = node;
    }
  }
}

template <typename I>
void random_walk(Stream stream, const WalkArguments<I>& a) {
  const bool is_uniform = a.back == a.near && a.near == a.far;
  launch(stream, a.num_walks, is_uniform ? walk_uniform<I> : walk_node2vec<I>, a);
}

}  // namespace graphkern::cuda
