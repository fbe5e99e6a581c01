#include "../common/cuda.h"
#include "../common/row_extremum.cuh"

namespace {

using namespace graphkern::cuda;

// src: [B, L, K], indptr: [S + 1]. Returns out and arg, [B, S, K]. Of a segment that leaves [0, L) the entries inside
// count: finding it here would make each call wait for the device.
std::tuple<Tensor, Tensor> segment_extremum_cuda(Tensor src, Tensor indptr, std::string reduce) {
  Call call(src);
  const int64_t num_segments = indptr.size(0) - 1;
  Tensor out = call.allocate({src.size(0), num_segments, src.size(2)}, src.scalar_type());
  Tensor arg = call.allocate({src.size(0), num_segments, src.size(2)}, indptr.scalar_type());
  dispatch(src, indptr, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    const RowExtremumArguments<T, I> arguments{
        .indptr = call.read<I>(indptr),
        .indices = nullptr,
        .x = call.read<T>(src),
        .weight = nullptr,
        .out = write<T>(out),
        .arg = write<I>(arg),
        .num_rows = num_segments,
        .num_edges = src.size(1),
        .features = src.size(2),
        .heads = 1,
        .is_max = reduce == "max",
        .num_batches = src.size(0)};
    extreme_rows(call.stream(), arguments, [&](int64_t bytes) { return call.workspace(bytes); });
  });
  Call::check_launch();
  return {out, arg};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("segment_extremum", TORCH_BOX(&segment_extremum_cuda)); }
