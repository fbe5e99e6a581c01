#include "../common/row_sum.cuh"
#include "../common/scatter_cuda.h"

namespace {

using namespace graphkern::cuda;

// src: [B, L, K], index: [B or 1, L, K or 1]. Returns [B, dim_size, K]. Entries whose index is out of range go nowhere:
// finding them here would make each call wait for the device.
Tensor scatter_reduce_cuda(Tensor src, Tensor index, int64_t dim_size, std::string reduce) {
  Call call(src);
  Tensor out = call.allocate({src.size(0), dim_size, src.size(2)}, src.scalar_type());
  if (out.numel() == 0) return out;
  scatter_sorted(call, src, index, dim_size, [&](auto p, const auto& sorted, const ScatterShape& shape) {
    using P = typename decltype(p)::type;
    dispatch_value(src, [&](auto t) {
      using T = typename decltype(t)::type;
      const RowSumArguments<T, P> arguments{
          .indptr = sorted.starts,
          .indices = sorted.entry,
          .edge = nullptr,
          .x = call.read<T>(src),
          .weight = nullptr,
          .out = write<T>(out),
          .num_rows = shape.places,
          .num_edges = shape.entries,
          .features = shape.width,
          .heads = 1,
          .mean = reduce == "mean",
          .num_batches = shape.repeats};
      sum_rows(call.stream(), arguments, [&](int64_t bytes) { return call.workspace(bytes); });
    });
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("scatter_reduce", TORCH_BOX(&scatter_reduce_cuda)); }
