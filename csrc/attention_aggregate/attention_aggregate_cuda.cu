#include "../common/pair_attention_cuda.h"

namespace {

using namespace graphkern::cuda;

// q: [N, H, D], k, v: [M, H, D]. Returns out [N, H, D] and lse [N, H].
std::tuple<Tensor, Tensor> attention_aggregate_cuda(
    Tensor indptr, Tensor indices, std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>, Tensor q,
    Tensor k, Tensor v, double scale, double dropout_p, int64_t seed) {
  return run_pair_attention<false>(indptr, indices, q, k, v, std::nullopt, {scale, 0, dropout_p, seed});
}

// grad, out: [N, H, D], lse: [N, H]. Returns the gradients for q, k and v.
std::tuple<Tensor, Tensor, Tensor> attention_aggregate_backward_cuda(
    Tensor grad, Tensor indptr, Tensor indices, Tensor t_indptr, Tensor t_indices, Tensor t_edge, Tensor q, Tensor k,
    Tensor v, Tensor out, Tensor lse, double scale, double dropout_p, int64_t seed) {
  Call call(q);
  const int64_t heads = q.size(1), depth = q.size(2);
  Tensor grad_q = call.allocate({q.size(0), heads, depth}, q.scalar_type());
  Tensor grad_k = call.allocate({k.size(0), heads, depth}, q.scalar_type());
  Tensor grad_v = call.allocate({k.size(0), heads, depth}, q.scalar_type());
  const PairOptions options{scale, 0, dropout_p, seed};
  const Tensor g = torch::stable::contiguous(grad), query = torch::stable::contiguous(q);
  const Tensor key = torch::stable::contiguous(k), value = torch::stable::contiguous(v);
  const Tensor stats = attention_stats_of(call, g, out, lse);
  const PairSide rows{query, g, &grad_q, nullptr}, columns{key, value, &grad_k, &grad_v};
  ReusedMemory pieces(call);
  run_pair_backward<false>(
      call, pieces, indptr, indices, std::nullopt, false, rows, columns, std::nullopt, stats, nullptr, options);
  run_pair_backward<false>(
      call, pieces, t_indptr, t_indices, t_edge, true, columns, rows, std::nullopt, stats, nullptr, options);
  Call::check_launch();
  return {grad_q, grad_k, grad_v};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) {
  m.impl("attention_aggregate", TORCH_BOX(&attention_aggregate_cuda));
  m.impl("attention_aggregate_backward", TORCH_BOX(&attention_aggregate_backward_cuda));
}
