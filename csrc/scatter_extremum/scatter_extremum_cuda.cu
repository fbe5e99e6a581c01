#include "../common/row_extremum.cuh"
#include "../common/scatter_cuda.h"
#include "scatter_extremum_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// src: [B, L, K], index: [B or 1, L, K or 1]. Returns out and arg, [B, dim_size, K]. Entries whose index is out of
// range go nowhere: finding them here would make each call wait for the device.
std::tuple<Tensor, Tensor> scatter_extremum_cuda(Tensor src, Tensor index, int64_t dim_size, std::string reduce) {
  Call call(src);
  Tensor out = call.allocate({src.size(0), dim_size, src.size(2)}, src.scalar_type());
  Tensor arg = call.allocate({src.size(0), dim_size, src.size(2)}, index.scalar_type());
  const int64_t size = out.numel();
  if (size == 0) return {out, arg};
  scatter_sorted(call, src, index, dim_size, [&](auto p, const auto& sorted, const ScatterShape& shape) {
    using P = typename decltype(p)::type;
    P* won = static_cast<P*>(call.workspace(size * int64_t(sizeof(P))));
    dispatch_value(src, [&](auto t) {
      using T = typename decltype(t)::type;
      const RowExtremumArguments<T, P> arguments{
          .indptr = sorted.starts,
          .indices = sorted.entry,
          .x = call.read<T>(src),
          .weight = nullptr,
          .out = write<T>(out),
          .arg = won,
          .num_rows = shape.places,
          .num_edges = shape.entries,
          .features = shape.width,
          .heads = 1,
          .is_max = reduce == "max",
          .num_batches = shape.repeats};
      extreme_rows(call.stream(), arguments, [&](int64_t bytes) { return call.workspace(bytes); });
    });
    dispatch_index(index, [&](auto i) {
      using I = typename decltype(i)::type;
      launch(
          call.stream(), size, winning_positions<P, I>, won, sorted.entry, write<I>(arg), size, Divisor(index.size(2)),
          Divisor(index.size(1)));
    });
  });
  Call::check_launch();
  return {out, arg};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("scatter_extremum", TORCH_BOX(&scatter_extremum_cuda)); }
