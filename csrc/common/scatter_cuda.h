// What the launchers of scatters share.
#pragma once

#include "cuda.h"
#include "scatter.cuh"

namespace graphkern::cuda {

// See scatter.cuh.
struct ScatterShape {
  int64_t entries, places, width, repeats;
};

// src: [B, L, K], index: [B or 1, L, K or 1]. Calls f(tag of P, entries by place, shape).
template <typename F>
void scatter_sorted(Call& call, const Tensor& src, const Tensor& index, int64_t dim_size, const F& f) {
  const auto allocate = [&](int64_t bytes) { return call.workspace(bytes); };
  const int64_t batches = index.size(0), columns = index.size(2);
  dispatch_index(index, [&](auto i) {
    using I = typename decltype(i)::type;
    const auto places = scatter_index(call.read<I>(index), batches, index.size(1), columns, dim_size);
    const ScatterShape shape{
        places.num_entries(), places.num_places(), columns > 1 ? 1 : src.size(2),
        src.size(0) == batches ? 1 : src.size(0)};
    if (is_narrow(places)) {
      f(Tag<int32_t>{}, sort_entries<int32_t>(call.stream(), places, allocate), shape);
    } else {
      f(Tag<int64_t>{}, sort_entries<int64_t>(call.stream(), places, allocate), shape);
    }
  });
}

}  // namespace graphkern::cuda
