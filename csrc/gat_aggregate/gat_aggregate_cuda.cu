#include "../common/attention_cuda.h"
#include "gat_aggregate_kernels.cuh"

namespace {

using namespace graphkern::cuda;

template <typename T>
GatScore<T> read_scores(
    Call& call, const Tensor& alpha_src, const Tensor& alpha_dst, const std::optional<Tensor>& alpha_edge,
    double negative_slope) {
  return {call.read<T>(alpha_src), call.read<T>(alpha_dst), call.read<T>(alpha_edge), Accumulate<T>(negative_slope)};
}

// x: [M, H, D], alpha_src: [M, H], alpha_dst: [N, H], alpha_edge: [E, H].
// Returns out [N, H, D], lse [N, H], positive_out [N, H, D] and positive_total [N, H] (empty without keep_positive).
std::tuple<Tensor, Tensor, Tensor, Tensor> gat_aggregate_cuda(
    Tensor indptr, Tensor indices, std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>, Tensor x,
    Tensor alpha_src, Tensor alpha_dst, std::optional<Tensor> alpha_edge, double negative_slope, double dropout_p,
    int64_t seed, bool keep_positive) {
  Call call(x);
  const int64_t rows = indptr.size(0) - 1, kept = keep_positive ? rows : 0, heads = x.size(1), depth = x.size(2);
  const ScalarType wide = accumulate_type(x);
  Tensor out = call.allocate({rows, heads, depth}, x.scalar_type()), lse = call.allocate({rows, heads}, wide);
  Tensor positive_out = call.allocate({kept, heads, depth}, wide);
  Tensor positive_total = call.allocate({kept, heads}, wide);
  dispatch(x, indices, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    using A = Accumulate<T>;
    const T* values = call.read<T>(x);
    T* result = write<T>(out);
    A* positive = keep_positive ? write<A>(positive_out) : nullptr;
    const bool aligned = is_aligned(values) && is_aligned(result) && is_aligned(positive);
    dispatch_head<T>(depth, aligned, [&](auto width) {
      constexpr int W = decltype(width)::width;
      const GatBody<T, I, W> body{
          read_graph<I>(call, indptr, indices, std::nullopt),
          head_layout<T, W>(heads, depth),
          make_dropout(dropout_p, seed),
          read_scores<T>(call, alpha_src, alpha_dst, alpha_edge, negative_slope),
          values,
          result,
          write<A>(lse),
          positive,
          write<A>(positive_total)};
      launch_attention(call.stream(), body, [&](int64_t bytes) { return call.workspace(bytes); });
    });
  });
  Call::check_launch();
  return {out, lse, positive_out, positive_total};
}

// stats: of grad and out. Returns the gradient for alpha_dst, [N, H].
Tensor grad_dst_of(
    Call& call, const Tensor& grad, const Tensor& stats, const Tensor& positive_out, const Tensor& positive_total,
    double negative_slope) {
  const int64_t rows = grad.size(0), heads = grad.size(1), depth = grad.size(2);
  Tensor grad_dst = call.allocate({rows, heads}, grad.scalar_type());
  if (positive_out.numel() == 0) return grad_dst;  // alpha_dst needs none
  dispatch_value(grad, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const T* upstream = call.read<T>(grad);
    const A *positive = call.read<A>(positive_out), *total = call.read<A>(positive_total);
    dispatch_width<T>(depth, is_aligned(upstream) && is_aligned(positive), [&](auto width) {
      constexpr int W = decltype(width)::width;
      const int lanes = group_lanes((depth + W - 1) / W);
      launch(
          call.stream(), rows * heads * lanes, gat_grad_dst<T, W>, upstream, positive, total,
          static_cast<const Vector<A, 2>*>(stats.const_data_ptr()), rows * heads, depth, lanes, A(negative_slope),
          write<T>(grad_dst));
    });
  });
  return grad_dst;
}

// grad, out: [N, H, D], x: [M, H, D], alpha_src: [M, H], alpha_dst: [N, H], alpha_edge: [E, H].
// Returns the gradients for x, alpha_src, alpha_dst and alpha_edge (empty where that is none).
std::tuple<Tensor, Tensor, Tensor, Tensor> gat_aggregate_backward_cuda(
    Tensor grad, Tensor, Tensor, Tensor t_indptr, Tensor t_indices, Tensor t_edge, Tensor x, Tensor alpha_src,
    Tensor alpha_dst, std::optional<Tensor> alpha_edge, Tensor out, Tensor lse, Tensor positive_out,
    Tensor positive_total, double negative_slope, double dropout_p, int64_t seed) {
  Call call(x);
  const int64_t heads = x.size(1), depth = x.size(2), edges = alpha_edge ? t_indices.size(0) : 0;
  Tensor grad_x = call.allocate({x.size(0), heads, depth}, x.scalar_type());
  Tensor grad_src = call.allocate({x.size(0), heads}, x.scalar_type());
  Tensor grad_edge = call.allocate({edges, heads}, x.scalar_type());
  const Tensor stats = attention_stats_of(call, grad, out, lse);
  const Tensor grad_dst = grad_dst_of(call, grad, stats, positive_out, positive_total, negative_slope);
  dispatch(x, t_indices, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    const T *upstream = call.read<T>(grad), *values = call.read<T>(x);
    T* result = write<T>(grad_x);
    const bool aligned = is_aligned(upstream) && is_aligned(values) && is_aligned(result);
    dispatch_head<T>(depth, aligned, [&](auto width) {
      constexpr int W = decltype(width)::width;
      const GatGradientBody<T, I, W> body{
          read_graph<I>(call, t_indptr, t_indices, t_edge),
          head_layout<T, W>(heads, depth),
          make_dropout(dropout_p, seed),
          read_scores<T>(call, alpha_src, alpha_dst, alpha_edge, negative_slope),
          upstream,
          values,
          static_cast<const Vector<Accumulate<T>, 2>*>(stats.const_data_ptr()),
          result,
          write<T>(grad_src),
          alpha_edge ? write<T>(grad_edge) : nullptr};
      launch_attention(call.stream(), body, [&](int64_t bytes) { return call.workspace(bytes); });
    });
  });
  Call::check_launch();
  return {grad_x, grad_src, grad_dst, grad_edge};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) {
  m.impl("gat_aggregate", TORCH_BOX(&gat_aggregate_cuda));
  m.impl("gat_aggregate_backward", TORCH_BOX(&gat_aggregate_backward_cuda));
}
