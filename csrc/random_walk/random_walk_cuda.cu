#include "../common/cuda.h"
#include "random_walk_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// See ops/random_walk/reference.py. Returns [B, length + 1]
Tensor random_walk_cuda(
    Tensor indptr, Tensor indices, std::optional<Tensor> set_indptr, std::optional<Tensor> set_indices, Tensor start,
    int64_t length, std::vector<int64_t> weight, int64_t seed) {
  STD_TORCH_CHECK(length >= 0 && length < int64_t(1) << 31, "length must be in [0, 2^31) but is ", length);
  STD_TORCH_CHECK(weight.size() == 3, "expected three weights");
  Call call(indices);
  Tensor out = call.allocate({start.size(0), length + 1}, indices.scalar_type());
  dispatch_index(indices, [&](auto i) {
    using I = typename decltype(i)::type;
    const WalkArguments<I> arguments{
        call.read<I>(indptr),
        call.read<I>(indices),
        call.read<I>(set_indptr),
        call.read<I>(set_indices),
        call.read<I>(start),
        write<I>(out),
        start.size(0),
        length,
        uint64_t(weight[0]),
        uint64_t(weight[1]),
        uint64_t(weight[2]),
        uint64_t(seed)};
    random_walk(call.stream(), arguments);
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("random_walk", TORCH_BOX(&random_walk_cuda)); }
