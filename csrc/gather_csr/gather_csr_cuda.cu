#include "../common/cuda.h"
#include "gather_csr_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// src: [B, S, K], indptr: [S + 1]. Returns [B, length, K]. An indptr that decreases or leaves [0, length) gives values
// of other segments, or 0: finding it here would make each call wait for the device.
Tensor gather_csr_cuda(Tensor src, Tensor indptr, int64_t length, std::string reduce) {
  Call call(src);
  STD_TORCH_CHECK(indptr.size(0) == src.size(1) + 1, "indptr must have an entry more than src has segments");
  Tensor out = call.allocate({src.size(0), length, src.size(2)}, src.scalar_type());
  dispatch(src, indptr, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    const GatherCsrArguments<T, I> arguments{
        .indptr = call.read<I>(indptr),
        .src = call.read<T>(src),
        .out = write<T>(out),
        .num_batches = src.size(0),
        .num_segments = src.size(1),
        .length = length,
        .features = src.size(2),
        .mean = reduce == "mean"};
    gather_csr(call.stream(), arguments);
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("gather_csr", TORCH_BOX(&gather_csr_cuda)); }
