#include "../common/cuda.h"
#include "../common/row_sum.cuh"

namespace {

using namespace graphkern::cuda;

// x: [M, F], weight: [rows, H] or none. Returns [N, F].
Tensor spmm_cuda(
    Tensor indptr, Tensor indices, std::optional<Tensor> edge, std::optional<Tensor>, std::optional<Tensor>,
    std::optional<Tensor>, Tensor x, std::optional<Tensor> weight, std::string reduce) {
  Call call(x);
  const int64_t num_rows = indptr.size(0) - 1, features = x.size(1);
  Tensor out = call.allocate({num_rows, features}, x.scalar_type());
  dispatch(x, indices, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    const RowSumArguments<T, I> arguments{
        call.read<I>(indptr),
        call.read<I>(indices),
        call.read<I>(edge),
        call.read<T>(x),
        call.read<T>(weight),
        write<T>(out),
        num_rows,
        indices.size(0),
        features,
        heads_of(weight),
        reduce == "mean"};
    sum_rows(call.stream(), arguments, [&](int64_t bytes) { return call.workspace(bytes); });
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("spmm", TORCH_BOX(&spmm_cuda)); }
