#include "../common/pair_attention.h"

namespace graphkern {

GK_DECLARE_KERNEL(void, dot_rows, const PairArgs&, int64_t first, int64_t last)
GK_DECLARE_KERNEL(void, dot_piece, const PairArgs&, int64_t row, int64_t begin, int64_t end, void* partial)
GK_DECLARE_KERNEL(void, dot_merge, const PairArgs&, int64_t row, void* partials, int64_t count)
GK_DECLARE_KERNEL(void, dot_stats, const PairStatsArgs&, int64_t first, int64_t last)
GK_DECLARE_KERNEL(void, dot_backward_rows, const PairBackwardArgs&, int64_t first, int64_t last, void* grad_att)
GK_DECLARE_KERNEL(
    void, dot_backward_piece, const PairBackwardArgs&, int64_t row, int64_t begin, int64_t end, void* partial)
GK_DECLARE_KERNEL(
    void, dot_backward_merge, const PairBackwardArgs&, int64_t row, void* partials, int64_t count, void* grad_att)

namespace GK_ISA {

void dot_rows(const PairArgs& a, int64_t first, int64_t last) {
  attention_rows<false, true>(a, first, last, pair_weigher<DotScore>(a));
}

void dot_piece(const PairArgs& a, int64_t row, int64_t begin, int64_t end, void* partial) {
  attention_piece<false, true>(a, row, begin, end, partial, pair_weigher<DotScore>(a));
}

void dot_merge(const PairArgs& a, int64_t row, void* partials, int64_t count) {
  attention_merge(a, row, partials, count);
}

void dot_stats(const PairStatsArgs& a, int64_t first, int64_t last) { pair_stats(a, first, last); }

void dot_backward_rows(const PairBackwardArgs& a, int64_t first, int64_t last, void* grad_att) {
  pair_backward_rows<DotScore>(a, first, last, grad_att);
}

void dot_backward_piece(const PairBackwardArgs& a, int64_t row, int64_t begin, int64_t end, void* partial) {
  pair_backward_piece<DotScore>(a, row, begin, end, partial);
}

void dot_backward_merge(const PairBackwardArgs& a, int64_t row, void* partials, int64_t count, void* grad_att) {
  pair_backward_merge<DotScore>(a, row, partials, count, grad_att);
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/pair_attention_launch.h"

namespace graphkern {
namespace {

// q: [N, H, D], k, v: [M, H, D]. Returns out [N, H, D] and lse [N, H]
std::tuple<Tensor, Tensor> attention_aggregate(
    const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>&, const std::optional<Tensor>&,
    const std::optional<Tensor>&, const Tensor& q, const Tensor& k, const Tensor& v, double scale, double dropout_p,
    int64_t seed) {
  return run_pair_attention(
      indptr, indices, as_contiguous(q), as_contiguous(k), as_contiguous(v), std::nullopt, {scale, 0, dropout_p, seed},
      GK_KERNEL(dot_rows), GK_KERNEL(dot_piece), GK_KERNEL(dot_merge));
}

// grad, out: [N, H, D], lse: [N, H]. Returns the gradients for q, k and v
std::tuple<Tensor, Tensor, Tensor> attention_aggregate_backward(
    const Tensor& grad, const Tensor& indptr, const Tensor& indices, const Tensor& t_indptr, const Tensor& t_indices,
    const Tensor& t_edge, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out, const Tensor& lse,
    double scale, double dropout_p, int64_t seed) {
  const Tensor g = as_contiguous(grad), query = as_contiguous(q), key = as_contiguous(k), value = as_contiguous(v);
  const int64_t heads = q.size(1), depth = q.size(2);
  Tensor grad_q = allocate({q.size(0), heads, depth}, q.scalar_type());
  Tensor grad_k = allocate({k.size(0), heads, depth}, q.scalar_type());
  Tensor grad_v = allocate({k.size(0), heads, depth}, q.scalar_type());
  const Tensor stats = pair_stats_of(g, out, lse, GK_KERNEL(dot_stats));
  const PairOptions options{scale, 0, dropout_p, seed};
  const PairSide rows{query, g, &grad_q, nullptr}, columns{key, value, &grad_k, &grad_v};
  const auto run = [&](const Tensor& bounds, const Graph& graph, bool transposed, const PairSide& own,
                       const PairSide& other) {
    run_pair_backward(
        bounds, graph, transposed, own, other, nullptr, stats, nullptr, options, GK_KERNEL(dot_backward_rows),
        GK_KERNEL(dot_backward_piece), GK_KERNEL(dot_backward_merge));
  };
  run(indptr, graph_of(indptr, indices), false, rows, columns);
  run(t_indptr, graph_of(t_indptr, t_indices, t_edge), true, columns, rows);
  return {grad_q, grad_k, grad_v};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("attention_aggregate", TORCH_BOX(&graphkern::attention_aggregate));
  m.impl("attention_aggregate_backward", TORCH_BOX(&graphkern::attention_aggregate_backward));
}
#endif
