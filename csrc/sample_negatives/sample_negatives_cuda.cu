#include "../common/cuda.h"
#include "sample_negatives_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// See ops/sample_negatives/reference.py. Returns [R, num]
Tensor sample_negatives_cuda(
    Tensor indptr, Tensor indices, int64_t num_cols, Tensor rows, int64_t num, bool distinct, int64_t seed) {
  STD_TORCH_CHECK(num >= 0 && num < int64_t(1) << 32, "num must be in [0, 2^32) but is ", num);
  STD_TORCH_CHECK(num_cols < int64_t(1) << 32, "2^32 columns or more");
  Call call(indices);
  Tensor out = call.allocate({rows.size(0), num}, indices.scalar_type());
  dispatch_index(indices, [&](auto i) {
    using I = typename decltype(i)::type;
    const NegativeArguments<I> arguments{
        call.read<I>(indptr), call.read<I>(indices), call.read<I>(rows), write<I>(out), num_cols, rows.size(0), num,
        uint64_t(seed)};
    sample_negatives(call.stream(), arguments, distinct);
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("sample_negatives", TORCH_BOX(&sample_negatives_cuda)); }
