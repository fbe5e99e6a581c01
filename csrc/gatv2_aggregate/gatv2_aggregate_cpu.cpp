#include "../common/pair_attention.h"

namespace graphkern {

GK_DECLARE_KERNEL(void, gatv2_rows, const PairArgs&, int64_t first, int64_t last)
GK_DECLARE_KERNEL(void, gatv2_piece, const PairArgs&, int64_t row, int64_t begin, int64_t end, void* partial)
GK_DECLARE_KERNEL(void, gatv2_merge, const PairArgs&, int64_t row, void* partials, int64_t count)
GK_DECLARE_KERNEL(void, gatv2_stats, const PairStatsArgs&, int64_t first, int64_t last)
GK_DECLARE_KERNEL(void, gatv2_backward_rows, const PairBackwardArgs&, int64_t first, int64_t last, void* grad_att)
GK_DECLARE_KERNEL(
    void, gatv2_backward_piece, const PairBackwardArgs&, int64_t row, int64_t begin, int64_t end, void* partial)
GK_DECLARE_KERNEL(
    void, gatv2_backward_merge, const PairBackwardArgs&, int64_t row, void* partials, int64_t count, void* grad_att)

namespace GK_ISA {

void gatv2_rows(const PairArgs& a, int64_t first, int64_t last) {
  attention_rows<false, false>(a, first, last, pair_weigher<AdditiveScore>(a));
}

void gatv2_piece(const PairArgs& a, int64_t row, int64_t begin, int64_t end, void* partial) {
  attention_piece<false, false>(a, row, begin, end, partial, pair_weigher<AdditiveScore>(a));
}

void gatv2_merge(const PairArgs& a, int64_t row, void* partials, int64_t count) {
  attention_merge(a, row, partials, count);
}

void gatv2_stats(const PairStatsArgs& a, int64_t first, int64_t last) { pair_stats(a, first, last); }

void gatv2_backward_rows(const PairBackwardArgs& a, int64_t first, int64_t last, void* grad_att) {
  pair_backward_rows<AdditiveScore>(a, first, last, grad_att);
}

void gatv2_backward_piece(const PairBackwardArgs& a, int64_t row, int64_t begin, int64_t end, void* partial) {
  pair_backward_piece<AdditiveScore>(a, row, begin, end, partial);
}

void gatv2_backward_merge(const PairBackwardArgs& a, int64_t row, void* partials, int64_t count, void* grad_att) {
  pair_backward_merge<AdditiveScore>(a, row, partials, count, grad_att);
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/convert.h"
#include "../common/pair_attention_launch.h"

namespace graphkern {
namespace {

// x_src: [M, H, D], x_dst: [N, H, D], att: [H, D]. Returns out [N, H, D] and lse [N, H]
std::tuple<Tensor, Tensor> gatv2_aggregate(
    const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>&, const std::optional<Tensor>&,
    const std::optional<Tensor>&, const Tensor& x_src, const Tensor& x_dst, const Tensor& att, double negative_slope,
    double dropout_p, int64_t seed) {
  const Tensor source = as_contiguous(x_src);
  return run_pair_attention(
      indptr, indices, as_contiguous(x_dst), source, source, as_contiguous(att), {1, negative_slope, dropout_p, seed},
      GK_KERNEL(gatv2_rows), GK_KERNEL(gatv2_piece), GK_KERNEL(gatv2_merge));
}

// grad, out: [N, H, D], lse: [N, H]. Returns the gradients for x_src, x_dst and att
std::tuple<Tensor, Tensor, Tensor> gatv2_aggregate_backward(
    const Tensor& grad, const Tensor& indptr, const Tensor& indices, const Tensor& t_indptr, const Tensor& t_indices,
    const Tensor& t_edge, const Tensor& x_src, const Tensor& x_dst, const Tensor& att, const Tensor& out,
    const Tensor& lse, double negative_slope, double dropout_p, int64_t seed) {
  const Tensor g = as_contiguous(grad), source = as_contiguous(x_src), destination = as_contiguous(x_dst);
  const Tensor weights = as_contiguous(att);
  const int64_t heads = att.size(0), depth = att.size(1);
  Tensor grad_src = allocate({x_src.size(0), heads, depth}, x_src.scalar_type());
  Tensor grad_dst = allocate({x_dst.size(0), heads, depth}, x_src.scalar_type());
  Tensor att_sum = allocate({heads, depth}, accumulate_type(att)),
         grad_att = allocate({heads, depth}, att.scalar_type());
  torch::stable::zero_(att_sum);
  const Tensor stats = pair_stats_of(g, out, lse, GK_KERNEL(gatv2_stats));
  const PairOptions options{1, negative_slope, dropout_p, seed};
  const PairSide rows{destination, g, &grad_dst, nullptr}, columns{source, source, &grad_src, nullptr};
  const auto run = [&](const Tensor& bounds, const Graph& graph, bool transposed, const PairSide& own,
                       const PairSide& other) {
    run_pair_backward(
        bounds, graph, transposed, own, other, &weights, stats, &att_sum, options, GK_KERNEL(gatv2_backward_rows),
        GK_KERNEL(gatv2_backward_piece), GK_KERNEL(gatv2_backward_merge));
  };
  run(indptr, graph_of(indptr, indices), false, rows, columns);
  run(t_indptr, graph_of(t_indptr, t_indices, t_edge), true, columns, rows);
  GK_KERNEL(narrow)(value_of(grad_att), pointer(att_sum), grad_att.mutable_data_ptr(), att_sum.numel());
  return {grad_src, grad_dst, grad_att};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("gatv2_aggregate", TORCH_BOX(&graphkern::gatv2_aggregate));
  m.impl("gatv2_aggregate_backward", TORCH_BOX(&graphkern::gatv2_aggregate_backward));
}
#endif
