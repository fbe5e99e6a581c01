// Gradients of two embedding tables from those of scores: the entries of a batch grouped by row, then one sum a row.
#pragma once

#include "../common/pairs.cuh"
#include "../common/row_groups.cuh"

namespace graphkern::cuda {

// Rows that a batch names, one after the other.
struct PairIndex {
  const void* values;
  bool is_64bit;

  __device__ int64_t operator[](int64_t b) const {
    return is_64bit ? static_cast<const int64_t*>(values)[b] : int64_t(static_cast<const int32_t*>(values)[b]);
  }
};

// One side of the pairs. Entries of user rows are pairs; those of item rows too, or with j 2 b for i[b], 2 b + 1 for
// j[b].
struct PairSide {
  PairIndex u, i, j;
  bool of_items;

  __device__ bool has_two() const { return of_items && j.values != nullptr; }
  __device__ int64_t pair(int64_t entry) const { return has_two() ? entry >> 1 : entry; }
  __device__ bool is_other(int64_t entry) const { return has_two() && (entry & 1) != 0; }
  // The row of an entry.
  __device__ int64_t operator()(int64_t entry) const {
    const int64_t b = pair(entry);
    return !of_items ? u[b] : is_other(entry) ? j[b] : i[b];
  }
};

// out[row of group] = the sum over its entries of grad * slope * (item[i] - item[j]), or of +-grad * slope * user[u].
// user: [U, D], item: [I, D], grad, slope: [B], out: [*, D], by group where `packed`, else by row.
template <typename T, typename Key, typename P, int W>
struct PairGradientBody {
  using A = Accumulate<T>;
  using State = Vector<A, W>;
  static constexpr int V = W;

  const P* indptr;
  RowGroups<Key, P> groups;
  PairSide side;
  const T *user, *item, *grad;
  const A* slope;
  T* out;
  int64_t depth;
  bool packed;

  __device__ State start() const { return State{}; }

  __device__ void add(State& state, int64_t begin, int64_t end, int64_t step, int64_t feature) const {
#pragma unroll 2
    for (int64_t place = begin; place < end; place += step) {
      const int64_t entry = groups.positions[place], b = side.pair(entry);
      const A by_score = to_accumulate(grad[b]) * slope[b], scale = side.is_other(entry) ? -by_score : by_score;
      const T* row = side.of_items ? user + side.u[b] * depth : item + side.i[b] * depth;
      const Vector<T, W> more = load<T, W>(row + feature);
      Vector<T, W> less{};
      if (!side.of_items && side.j.values != nullptr) less = load<T, W>(item + side.j[b] * depth + feature);
#pragma unroll
      for (int v = 0; v < W; ++v) state.at[v] += scale * (to_accumulate(more.at[v]) - to_accumulate(less.at[v]));
    }
  }

  __device__ void merge(State& state, const State& other) const {
    for (int v = 0; v < W; ++v) state.at[v] += other.at[v];
  }

  __device__ void finish(const State& state, int64_t group, int64_t feature, int64_t entries) const {
    if (entries == 0) return;
    Vector<T, W> result;
    for (int v = 0; v < W; ++v) result.at[v] = from_accumulate<T>(state.at[v]);
    store(out + (packed ? group : groups.row(group)) * depth + feature, result);
  }
};

// rows[group] = row of group, for `count` groups.
template <typename Key, typename P>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    group_rows_of(RowGroups<Key, P> groups, int64_t count, int64_t* __restrict__ rows) {
  for (int64_t group = first_item(); group < count; group += item_stride()) rows[group] = groups.row(group);
}

}  // namespace graphkern::cuda
