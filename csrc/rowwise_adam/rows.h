// Optimizers that touch only the rows which a sparse gradient names: one pass over a row's gradient, state and
// parameters.
#pragma once

#include "../common/index_checks.h"
#include "../common/row_groups.h"
#include "../common/rows.h"

namespace graphkern {

// Gradient n, values[n], belongs to row rows[n]. param, state: [N, width], values: [.., width]; state[1] is null where
// there is one.
struct RowUpdate {
  Value value;
  void *param, *state[2];
  const int64_t* rows;
  const void* values;
  int64_t width;
  double step_size, beta1, beta2, eps;
  bool maximize;
};

namespace GK_ISA {

inline Vec<float> sqrt(Vec<float> x) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
  return (Vec<float>)_mm256_sqrt_ps((__m256)x);
#else
  for (int n = 0; n < kLanes<float>; ++n) x[n] = ::sqrtf(x[n]);
  return x;
#endif
}
inline Vec<double> sqrt(Vec<double> x) {
#if defined(__AVX512F__)
  return (Vec<double>)_mm512_sqrt_pd((__m512d)x);
#elif defined(__AVX2__)
  return (Vec<double>)_mm256_sqrt_pd((__m256d)x);
#else
  for (int n = 0; n < kLanes<double>; ++n) x[n] = ::sqrt(x[n]);
  return x;
#endif
}

// Calls update(gradient, param, state ...) on references to registers of each row that comes: kStates of state.
// row(k): the k-th row, gradient(k, d, width): features [d, d + width) of its gradient.
template <int kStates, typename T, typename R, typename G, typename U>
inline void update_rows(
    const RowUpdate& a, int64_t begin, int64_t end, const R& row, const G& gradient, const U& update) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>, kTables = 1 + kStates;
  constexpr int64_t kAhead = 8;
  T* const tables[3] = {static_cast<T*>(a.param), static_cast<T*>(a.state[0]), static_cast<T*>(a.state[1])};
  const A sign = a.maximize ? A(-1) : A(1);
  for (int64_t k = begin; k < end; ++k) {
    if (k + kAhead < end) {
      for (int t = 0; t < kTables; ++t) prefetch(tables[t] + row(k + kAhead) * a.width, a.width * sizeof(T));
    }
    const int64_t first = row(k) * a.width;
    for (int64_t d = 0; d < a.width; d += L) {
      const int count = int(a.width - d < L ? a.width - d : L);
      Vec<A> held[kTables];
#pragma GCC unroll 3
      for (int t = 0; t < kTables; ++t) held[t] = load_some(tables[t] + first + d, count);
      update(gradient(k, d, count) * sign, held);
#pragma GCC unroll 3
      for (int t = 0; t < kTables; ++t) store_some<A>(held[t], tables[t] + first + d, count);
    }
  }
}

// As above for the groups or gradients [begin, end). groups: of gradients by row; null where each has a row of its own.
template <int kStates, typename T, typename U>
inline void update_all(const RowUpdate& a, const Groups* groups, int64_t begin, int64_t end, const U& update) {
  using A = Accumulate<T>;
  const T* values = static_cast<const T*>(a.values);
  const auto own = [&](int64_t n, int64_t d, int width) { return load_some(values + n * a.width + d, width); };
  if (!groups) return update_rows<kStates, T>(a, begin, end, [&](int64_t k) { return a.rows[k]; }, own, update);
  const auto sum = [&](int64_t group, int64_t d, int width) {
    Vec<A> total = {};
    for (int64_t n = groups->begin[group]; n < groups->begin[group + 1]; ++n) total += own(groups->entry(n), d, width);
    return total;
  };
  update_rows<kStates, T>(a, begin, end, [&](int64_t group) { return groups->row(group); }, sum, update);
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
namespace graphkern {

using RowKernel = void (*)(const RowUpdate&, const Groups*, int64_t begin, int64_t end);

// param, state: [N, ...], written in place; indices: [1, n] int64, in any order, a row as often as it likes: its
// gradients are added up in order. values: [n, ...]
inline void update_table(
    RowUpdate update, const Tensor& param, std::initializer_list<const Tensor*> state, const Tensor& indices,
    const Tensor& values, RowKernel kernel) {
  STD_TORCH_CHECK(
      param.dim() >= 1 && indices.dim() == 2 && indices.size(0) == 1 && indices.scalar_type() == ScalarType::Long,
      "param must be [N, ...] and indices [1, n] int64");
  const int64_t num_rows = param.size(0), count = indices.size(1);
  update.width = num_rows ? param.numel() / num_rows : 0;
  STD_TORCH_CHECK(
      values.dim() == param.dim() && values.size(0) == count && values.numel() == count * update.width &&
          values.scalar_type() == param.scalar_type(),
      "values must be [n, ...] as the rows of param, of its dtype");
  STD_TORCH_CHECK(param.is_contiguous(), "param must be contiguous");
  int number = 0;
  for (const Tensor* t : state) {
    STD_TORCH_CHECK(
        t->is_contiguous() && t->numel() == param.numel() && t->scalar_type() == param.scalar_type(),
        "the state must be contiguous, in shape and dtype as param");
    update.state[number++] = t->mutable_data_ptr();
  }
  const Tensor rows = as_contiguous(indices), gradients = as_contiguous(values);
  const bool distinct = check_index(rows, "indices", num_rows).ascends;
  update.value = value_of(param);
  update.param = param.mutable_data_ptr();
  update.rows = static_cast<const int64_t*>(pointer(rows));
  update.values = pointer(gradients);
  const int64_t threads = useful_threads(4 * values.numel());
  const int64_t chunks = threads == 1 ? 1 : 8 * threads;
  if (distinct) {
    parallel_tasks(chunks, threads, [&](int64_t chunk) {
      kernel(update, nullptr, count * chunk / chunks, count * (chunk + 1) / chunks);
    });
    return;
  }
  const RowGroups groups(count, num_rows, [&](int64_t n) { return update.rows[n]; });
  parallel_tasks(chunks, threads, [&](int64_t chunk) {
    kernel(update, &*groups, groups.chunk_bound(chunk, chunks), groups.chunk_bound(chunk + 1, chunks));
  });
}

}  // namespace graphkern
#endif
