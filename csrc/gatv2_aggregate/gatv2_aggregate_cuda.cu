#include "../common/column_sums.cuh"
#include "../common/pair_attention_cuda.h"

namespace {

using namespace graphkern::cuda;

// x_src: [M, H, D], x_dst: [N, H, D], att: [H, D]. Returns out [N, H, D] and lse [N, H].
std::tuple<Tensor, Tensor> gatv2_aggregate_cuda(
    Tensor indptr, Tensor indices, std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>, Tensor x_src,
    Tensor x_dst, Tensor att, double negative_slope, double dropout_p, int64_t seed) {
  return run_pair_attention<true>(indptr, indices, x_dst, x_src, x_src, att, {1, negative_slope, dropout_p, seed});
}

// grad, out: [N, H, D], lse: [N, H]. Returns the gradients for x_src, x_dst and att.
std::tuple<Tensor, Tensor, Tensor> gatv2_aggregate_backward_cuda(
    Tensor grad, Tensor indptr, Tensor indices, Tensor t_indptr, Tensor t_indices, Tensor t_edge, Tensor x_src,
    Tensor x_dst, Tensor att, Tensor out, Tensor lse, double negative_slope, double dropout_p, int64_t seed) {
  Call call(x_src);
  const int64_t heads = att.size(0), depth = att.size(1), num_rows = x_dst.size(0), num_cols = x_src.size(0);
  Tensor grad_src = call.allocate({num_cols, heads, depth}, att.scalar_type());
  Tensor grad_dst = call.allocate({num_rows, heads, depth}, att.scalar_type());
  Tensor grad_att = call.allocate({heads, depth}, att.scalar_type());
  const PairOptions options{1, negative_slope, dropout_p, seed};
  const Tensor g = torch::stable::contiguous(grad), source = torch::stable::contiguous(x_src);
  const Tensor destination = torch::stable::contiguous(x_dst);
  const Tensor stats = attention_stats_of(call, g, out, lse);
  const PairSide rows{destination, g, &grad_dst, nullptr}, columns{source, source, &grad_src, nullptr};
  ReusedMemory pieces(call);
  dispatch_value(att, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const int64_t features = heads * depth, most = num_rows > num_cols ? num_rows : num_cols;
    A* of_rows = static_cast<A*>(call.workspace(most * features * int64_t(sizeof(A))));
    A* sums = static_cast<A*>(call.workspace(2 * kMostTiles * features * int64_t(sizeof(A))));
    run_pair_backward<true>(
        call, pieces, indptr, indices, std::nullopt, false, rows, columns, att, stats, of_rows, options);
    int64_t tiles = sum_column_tiles(call.stream(), of_rows, num_rows, features, sums);
    run_pair_backward<true>(
        call, pieces, t_indptr, t_indices, t_edge, true, columns, rows, att, stats, of_rows, options);
    tiles += sum_column_tiles(call.stream(), of_rows, num_cols, features, sums + tiles * features);
    launch(
        call.stream(), features * kWarp, merge_column_sums<T>, static_cast<const A*>(sums), tiles, features,
        write<T>(grad_att));
  });
  Call::check_launch();
  return {grad_src, grad_dst, grad_att};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) {
  m.impl("gatv2_aggregate", TORCH_BOX(&gatv2_aggregate_cuda));
  m.impl("gatv2_aggregate_backward", TORCH_BOX(&gatv2_aggregate_backward_cuda));
}
