#include "../common/cuda.h"
#include "../common/row_extremum.cuh"
#include "spmm_extremum_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// x: [M, F], weight: [E, H] or none. Returns out and arg, [N, F] (arg [0, F] unless it is to be kept).
std::tuple<Tensor, Tensor> spmm_extremum_cuda(
    Tensor indptr, Tensor indices, std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>, Tensor x,
    std::optional<Tensor> weight, std::string reduce, bool keep_arg) {
  Call call(x);
  const int64_t num_rows = indptr.size(0) - 1, features = x.size(1);
  Tensor out = call.allocate({num_rows, features}, x.scalar_type());
  Tensor arg = call.allocate({num_rows, features}, indices.scalar_type());
  dispatch(x, indices, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    const RowExtremumArguments<T, I> arguments{
        call.read<I>(indptr),
        call.read<I>(indices),
        call.read<T>(x),
        call.read<T>(weight),
        write<T>(out),
        write<I>(arg),
        num_rows,
        indices.size(0),
        features,
        heads_of(weight),
        reduce == "max"};
    extreme_rows(call.stream(), arguments, [&](int64_t bytes) { return call.workspace(bytes); });
  });
  Call::check_launch();
  if (!keep_arg) arg = call.allocate({0, features}, indices.scalar_type());
  return {out, arg};
}

// grad, arg: [N, F], weight: [E, H] or none. Returns [M, F].
Tensor spmm_extremum_grad_x_cuda(
    Tensor, Tensor, Tensor t_indptr, Tensor t_indices, Tensor t_edge, Tensor grad, Tensor arg,
    std::optional<Tensor> weight) {
  Call call(grad);
  const int64_t num_cols = t_indptr.size(0) - 1, num_edges = t_indices.size(0), features = grad.size(1);
  Tensor out = call.allocate({num_cols, features}, grad.scalar_type());
  dispatch(grad, arg, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    const ExtremumGradXArguments<T, I> arguments{
        call.read<I>(t_indptr),
        call.read<I>(t_indices),
        call.read<I>(t_edge),
        call.read<T>(grad),
        call.read<I>(arg),
        call.read<T>(weight),
        write<T>(out),
        num_cols,
        num_edges,
        features,
        heads_of(weight)};
    spmm_extremum_grad_x(call.stream(), arguments, [&](int64_t bytes) { return call.workspace(bytes); });
  });
  Call::check_launch();
  return out;
}

// grad, arg: [N, F], x: [M, F]. Returns [E, heads].
Tensor spmm_extremum_grad_weight_cuda(
    Tensor indptr, Tensor indices, Tensor, Tensor, Tensor, Tensor grad, Tensor arg, Tensor x, int64_t heads) {
  Call call(x);
  const int64_t num_rows = indptr.size(0) - 1, num_edges = indices.size(0), features = x.size(1);
  Tensor out = call.allocate({num_edges, heads}, x.scalar_type());
  dispatch(x, indices, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    const EdgeHeads<I> shape{
        call.read<I>(indptr), call.read<I>(indices), num_rows, num_edges, features, heads > 0 ? features / heads : 0,
        Divisor(heads)};
    spmm_extremum_grad_weight(
        call.stream(), shape, call.read<T>(grad), call.read<I>(arg), call.read<T>(x), write<T>(out));
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) {
  m.impl("spmm_extremum", TORCH_BOX(&spmm_extremum_cuda));
  m.impl("spmm_extremum_grad_x", TORCH_BOX(&spmm_extremum_grad_x_cuda));
  m.impl("spmm_extremum_grad_weight", TORCH_BOX(&spmm_extremum_grad_weight_cuda));
}
