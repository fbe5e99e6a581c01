// What the launchers of attention share. Compiled once.
#pragma once

#include "attention_forward.h"
#include "parallel.h"

namespace graphkern {

// Calls f(heads) for each group of heads that a kernel takes at once.
template <typename F>
void for_head_groups(const Tensor& features, const F& f) {
  const int64_t all = features.size(1), depth = features.size(2);
  const int64_t group = 64 / accumulate_bytes(features);
  for (int64_t first = 0; first < all; first += group) f(Heads{first, std::min(group, all - first), all, depth});
}

// The given row or column of scores or features [*, n], from element `first` of each row on.
inline const void* from_head(const Tensor& t, int64_t first) {
  return static_cast<const char*>(t.const_data_ptr()) + first * int64_t(t.element_size());
}
inline void* from_head(Tensor& t, int64_t first) {
  return t.numel() ? static_cast<char*>(t.mutable_data_ptr()) + first * int64_t(t.element_size()) : nullptr;
}

inline Graph graph_of(const Tensor& indptr, const Tensor& indices) {
  return {is_64bit(indptr), pointer(indptr), pointer(indices), nullptr};
}
inline Graph graph_of(const Tensor& indptr, const Tensor& indices, const Tensor& edge) {
  return {is_64bit(indptr), pointer(indptr), pointer(indices), pointer(edge)};
}

// Calls f(begin, end) on blocks of rows that all cost the same.
template <typename F>
void for_blocks(int64_t num_rows, int64_t operations_per_row, const F& f) {
  constexpr int64_t kRows = 1024;
  parallel_tasks((num_rows + kRows - 1) / kRows, useful_threads(num_rows * operations_per_row), [&](int64_t task) {
    f(task * kRows, std::min(num_rows, (task + 1) * kRows));
  });
}

// Forward over all rows; kernels as in attention_forward.h, args the first argument of each.
template <typename Args, typename R, typename P, typename M>
void run_attention(const Tensor& indptr, const Args& args, const R& rows, const P& piece, const M& merge) {
  const Heads& heads = args.heads;
  const int64_t bytes_of_value = args.value == Value::f64 ? 8 : 4;
  const int64_t bytes = 3 * 64 + 2 * heads.features() * bytes_of_value;
  reduce_rows(
      indptr, heads.features() + 8 * heads.heads, bytes, [&](int64_t begin, int64_t end) { rows(args, begin, end); },
      [&](const Piece& p, void* partial) { piece(args, p.row, p.begin, p.end, partial); },
      [&](int64_t row, void* partials, int64_t count) { merge(args, row, partials, count); });
}

}  // namespace graphkern
