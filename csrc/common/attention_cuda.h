// What launchers of attention do with their tensors.
#pragma once

#include "attention.cuh"
#include "cuda.h"

namespace graphkern::cuda {

template <typename I>
Graph<I> read_graph(Call& call, const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>& edge) {
  return {call.read<I>(indptr), call.read<I>(indices), call.read<I>(edge), indptr.size(0) - 1, indices.size(0)};
}

// grad, out: [N, H, D], lse: [N, H]. Returns lse and grad . out, [N, H, 2], of the call.
inline Tensor attention_stats_of(Call& call, const Tensor& grad, const Tensor& out, const Tensor& lse) {
  const int64_t rows = grad.size(0), heads = grad.size(1), depth = grad.size(2);
  Tensor stats = call.allocate({rows, heads, 2}, accumulate_type(grad));
  dispatch_value(grad, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const T *upstream = call.read<T>(grad), *result = call.read<T>(out);
    dispatch_width<T>(depth, is_aligned(upstream) && is_aligned(result), [&](auto wide) {
      constexpr int W = decltype(wide)::width;
      const int lanes = group_lanes((depth + W - 1) / W);
      launch(
          call.stream(), rows * heads * lanes, attention_stats<T, W>, upstream, result, call.read<A>(lse), rows, heads,
          depth, lanes, write<Vector<A, 2>>(stats));
    });
  });
  return stats;
}

}  // namespace graphkern::cuda
