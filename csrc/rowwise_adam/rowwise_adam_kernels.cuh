// Optimizers that touch only the rows which a sparse gradient names: one pass over a row's gradient, state and
// parameters.
#pragma once

#include "../common/row_groups.cuh"
#include "../common/rows.cuh"

namespace graphkern::cuda {

// param, exp_avg (null: Adagrad), exp_avg_sq (for Adagrad the sum of squares): [N, width]; rows: [n], of values
// [n, width].
template <typename T>
struct RowUpdate {
  using A = Accumulate<T>;
  T *param, *exp_avg, *exp_avg_sq;
  const int64_t* rows;
  const T* values;
  int64_t width;
  A step_size, share1, share2, eps, sign;

  // Changes W features of a row, from `feature` on, by the row's gradient.
  template <int W>
  __device__ void operator()(int64_t row, int64_t feature, const Vector<A, W>& gradient) const {
    const int64_t at = row * width + feature;
    Vector<T, W> held = load<T, W>(param + at), square = load<T, W>(exp_avg_sq + at), average{};
    if (exp_avg != nullptr) average = load<T, W>(exp_avg + at);
#pragma unroll
    for (int v = 0; v < W; ++v) {
      const A g = gradient.at[v] * sign;
      A of_square = to_accumulate(square.at[v]), of_average = g;
      if (exp_avg != nullptr) {
        of_average = to_accumulate(average.at[v]);
        of_average += (g - of_average) * share1;
        of_square += (g * g - of_square) * share2;
        average.at[v] = from_accumulate<T>(of_average);
      } else {
        of_square += g * g;
      }
      held.at[v] = from_accumulate<T>(to_accumulate(held.at[v]) - step_size * (of_average / (sqrt(of_square) + eps)));
      square.at[v] = from_accumulate<T>(of_square);
    }
    store(param + at, held);
    store(exp_avg_sq + at, square);
    if (exp_avg != nullptr) store(exp_avg + at, average);
  }
};

template <typename T, int W>
__device__ inline void add_to(Vector<Accumulate<T>, W>& sum, const T* from) {
  const Vector<T, W> value = load<T, W>(from);
  for (int v = 0; v < W; ++v) sum.at[v] += to_accumulate(value.at[v]);
}

// Each gradient has a row of its own; one thread a row and W features.
template <typename T, int W>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    update_rows(RowUpdate<T> update, int64_t count, Divisor columns) {
  for (int64_t item = first_item(); item < count * columns.value(); item += item_stride()) {
    const int64_t n = columns.quotient(item), feature = columns.remainder(item, n) * W;
    Vector<Accumulate<T>, W> gradient{};
    add_to<T, W>(gradient, update.values + n * update.width + feature);
    update(update.rows[n], feature, gradient);
  }
}

// Gradients are grouped by row.
template <typename T, int W>
struct UpdateBody {
  using State = Vector<Accumulate<T>, W>;
  static constexpr int V = W;

  const int64_t* indptr;
  RowGroups<uint64_t, int64_t> groups;
  RowUpdate<T> update;

  __device__ State start() const { return State{}; }
  __device__ void add(State& state, int64_t begin, int64_t end, int64_t step, int64_t feature) const {
    for (int64_t i = begin; i < end; i += step) {
      add_to<T, W>(state, update.values + groups.positions[i] * update.width + feature);
    }
  }
  __device__ void merge(State& state, const State& other) const {
    for (int v = 0; v < W; ++v) state.at[v] += other.at[v];
  }
  __device__ void finish(const State& state, int64_t group, int64_t feature, int64_t gradients) const {
    if (gradients > 0) update(groups.row(group), feature, state);
  }
};

// Of gradient i: whether its row does not come after that of the one before.
struct Descends {
  const int64_t* rows;
  __device__ int operator()(int64_t i) const { return i > 0 && rows[i] <= rows[i - 1] ? 1 : 0; }
};

struct RowOf {
  const int64_t* rows;
  __device__ int64_t operator()(int64_t i) const { return rows[i]; }
};

// ascend: all rows do, so that none is named twice. count: n; num_rows: N
template <typename T, typename Allocate>
void update_table(
    Stream stream, const RowUpdate<T>& update, int64_t count, int64_t num_rows, bool ascend, Allocate&& allocate) {
  const bool aligned = is_aligned(update.param) && is_aligned(update.exp_avg) && is_aligned(update.exp_avg_sq) &&
                       is_aligned(update.values);
  dispatch_width<T>(update.width, aligned, [&](auto wide) {
    constexpr int W = decltype(wide)::width;
    if (ascend) {
      const Divisor columns(update.width / W);
      return launch(stream, count * columns.value(), update_rows<T, W>, update, count, columns);
    }
    const auto groups = group_rows<uint64_t, int64_t>(stream, RowOf{update.rows}, count, num_rows, allocate);
    const UpdateBody<T, W> body{groups.begin, groups, update};
    launch_reduction(stream, body, count, count, update.width, allocate);
  });
}

}  // namespace graphkern::cuda
