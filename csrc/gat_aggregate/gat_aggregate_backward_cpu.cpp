#include "../common/edge_dots.h"

namespace graphkern {

// Of row i of the graph: alpha_dst, lse and delta = grad . out, each [all]; stats: [N, 3, all] in the accumulation
// type. grad, out: [N, all, depth]; positive_out, positive_total: as the forward pass leaves them, null where alpha_dst
// needs no gradient.
struct GatStatsArgs {
  Value value;
  Heads heads;
  const void *grad, *out, *alpha_dst, *lse, *positive_out, *positive_total;
  void *stats, *grad_alpha_dst;
  double negative_slope;
};
GK_DECLARE_KERNEL(void, gat_stats, const GatStatsArgs&, int64_t first, int64_t last)

// graph: transposed, its rows the M columns. grad: [N, all, depth], x: [M, all, depth], alpha_src: [M, all],
// alpha_edge, grad_alpha_edge: [E, all] or null, grad_x, grad_alpha_src: as x and alpha_src
struct GatBackwardArgs {
  Value value;
  Graph graph;
  Heads heads;
  Dropout dropout;
  const void *grad, *x, *alpha_src, *alpha_edge, *stats;
  void *grad_x, *grad_alpha_src, *grad_alpha_edge;
  double negative_slope;
};
GK_DECLARE_KERNEL(void, gat_backward_rows, const GatBackwardArgs&, int64_t first, int64_t last)
// partial: sums for grad_x [heads, depth], then for grad_alpha_src [heads]
GK_DECLARE_KERNEL(void, gat_backward_piece, const GatBackwardArgs&, int64_t row, int64_t begin, int64_t end, void*)
GK_DECLARE_KERNEL(void, gat_backward_merge, const GatBackwardArgs&, int64_t row, const void* partials, int64_t count)

namespace GK_ISA {
namespace {

// The softmax's weights of a row sum to 1 and their gradients' mean is delta: so the score's gradients before the leaky
// ReLU sum to 0, and what alpha_dst gets is (1 - slope) times the part of the positive scores.
template <typename T>
void stats_rows(const GatStatsArgs& a, int64_t first, int64_t last) {
  using A = Accumulate<T>;
  const int64_t all = a.heads.all, depth = a.heads.depth;
  for (int64_t row = first; row < last; ++row) {
    const T* grad = static_cast<const T*>(a.grad) + row * a.heads.stride();
    const T* out = static_cast<const T*>(a.out) + row * a.heads.stride();
    A* alpha = static_cast<A*>(a.stats) + row * 3 * all;
    A *lse = alpha + all, *delta = lse + all;
    for (int64_t h = 0; h < all; ++h) {
      alpha[h] = to_accumulate(static_cast<const T*>(a.alpha_dst)[row * all + h]);
      lse[h] = static_cast<const A*>(a.lse)[row * all + h];
    }
    head_dots<A>(all, depth, [&](int64_t f, int n) { return load_some(grad + f, n) * load_some(out + f, n); }, delta);
    if (!a.positive_out) continue;
    const A* positive_out = static_cast<const A*>(a.positive_out) + row * a.heads.stride();
    const A* positive_total = static_cast<const A*>(a.positive_total) + row * all;
    constexpr int64_t kBlock = 16;
    for (int64_t head = 0; head < all; head += kBlock) {
      A dot[kBlock];
      const int64_t heads = all - head < kBlock ? all - head : kBlock, from = head * depth;
      const auto product = [&](int64_t f, int n) {
        return load_some(grad + from + f, n) * load_some(positive_out + from + f, n);
      };
      head_dots<A>(heads, depth, product, dot);
      T* to = static_cast<T*>(a.grad_alpha_dst) + row * all + head;
      for (int64_t h = 0; h < heads; ++h) {
        const A part = dot[h] - delta[head + h] * positive_total[head + h];
        from_accumulate(A(1 - a.negative_slope) * part, to + h);
      }
    }
  }
}

// One column of the graph, or a piece of it: its edges' kept weights, and the sum of its scores' gradients by head.
template <typename T>
struct Column {
  using A = Accumulate<T>;
  Edges edges;
  A weight[kScores<A>], lse[kScores<A>], delta[kScores<A>], dot[kScores<A>], keep[kScores<A>];
  A own[kHeadGroup<A>], grad_score[kHeadGroup<A>];

  void weigh(const GatBackwardArgs& a, int64_t row) {
    const int64_t period = a.heads.period(), size = edges.count * period, all = a.heads.all;
    const A* stats = static_cast<const A*>(a.stats);
    spread_heads(static_cast<const T*>(a.alpha_src) + row * all, a.heads.heads, period, own);
    gather_heads<3>(edges, a.heads, stats, {weight, lse, delta});
    if (a.alpha_edge) add_edge_heads(edges, a.heads, static_cast<const T*>(a.alpha_edge), weight);
    if (a.dropout.active) keep_factors(a.dropout, edges, a.heads, keep);
    const T* grad = static_cast<const T*>(a.grad);
    edge_dots(
        edges, a.heads, static_cast<const T*>(a.x) + row * a.heads.stride(), grad, {grad, nullptr},
        [](Vec<A> x, Vec<A> g, int64_t, int) { return x * g; }, dot);
    const A slope = A(a.negative_slope);
    Vec<A> sum = {};
    for_scores<A>(
        size, period,
        [&](int64_t i, int64_t first) {
          const Vec<A> one = Vec<A>{} + 1, s = load(weight + i) + load(own + first);
          const Vec<A> turn = s > Vec<A>{} ? one : Vec<A>{} + slope, factor = a.dropout.active ? load(keep + i) : one;
          const Vec<A> p = exp(s * turn - load(lse + i));
          const Vec<A> change = p * (load(dot + i) * factor - load(delta + i)) * turn;
          store(p * factor, weight + i);
          store(change, delta + i);
          sum += select_lanes<A>(size - i, change, Vec<A>{});
        },
        [&](int64_t first) {
          store(fold_sum<A>(sum, period), grad_score + first);
          sum = Vec<A>{};
        });
    if (a.grad_alpha_edge) write_edges(a, period);
  }

  void write_edges(const GatBackwardArgs& a, int64_t period) const {
    for (int64_t e = 0; e < edges.count; ++e) {
      T* to = static_cast<T*>(a.grad_alpha_edge) + edges.position[e] * a.heads.all;
      for (int64_t h = 0; h < a.heads.heads; ++h) from_accumulate(delta[e * period + h], to + h);
    }
  }

  // grad_x of the row, or with `partial` its sums [heads, depth] over a piece
  template <int kHeads>
  void sum(const GatBackwardArgs& a, const HeadLayout& layout, int64_t row, A* partial) const {
    T* out = static_cast<T*>(a.grad_x) + row * a.heads.stride();
    for_features<8, A>(layout, [&](auto registers, int64_t first, int width) {
      weighted_sums<false, 1, registers.value, kHeads>(
          edges, a.heads, static_cast<const T*>(a.grad), {weight}, first, width, [&](int, int r, Vec<A> v) {
            const int64_t f = first + r * kLanes<A>;
            partial ? store_some<A>(v, partial + f, width) : store_some<A>(v, out + f, width);
          });
    });
  }
};

}  // namespace

void gat_stats(const GatStatsArgs& a, int64_t first, int64_t last) {
  dispatch_value(a.value, [&](auto t) { stats_rows<typename decltype(t)::type>(a, first, last); });
}

void gat_backward_rows(const GatBackwardArgs& a, int64_t first, int64_t last) {
  dispatch_attention(a.value, a.heads, [&](auto t, auto in_register, const HeadLayout& layout) {
    using T = typename decltype(t)::type;
    Column<T> column;
    const int64_t stop = row_begin(a.graph, last);
    for (int64_t row = first; row < last; ++row) {
      const int64_t begin = row_begin(a.graph, row), end = row_begin(a.graph, row + 1);
      if (end - begin > kLongRow) continue;
      column.edges.read(a.graph, begin, end, stop);
      column.weigh(a, row);
      T* alpha = static_cast<T*>(a.grad_alpha_src) + row * a.heads.all;
      for (int64_t h = 0; h < a.heads.heads; ++h) from_accumulate(column.grad_score[h], alpha + h);
      column.template sum<in_register.value>(a, layout, row, nullptr);
    }
  });
}

void gat_backward_piece(const GatBackwardArgs& a, int64_t row, int64_t begin, int64_t end, void* partial) {
  dispatch_attention(a.value, a.heads, [&](auto t, auto in_register, const HeadLayout& layout) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    Column<T> column;
    column.edges.read(a.graph, begin, end, end);
    column.weigh(a, row);
    A* sums = static_cast<A*>(partial);
    column.template sum<in_register.value>(a, layout, row, sums);
    for (int64_t h = 0; h < a.heads.heads; ++h) sums[a.heads.features() + h] = column.grad_score[h];
  });
}

void gat_backward_merge(const GatBackwardArgs& a, int64_t row, const void* partials, int64_t count) {
  dispatch_value(a.value, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const int64_t features = a.heads.features(), width = features + a.heads.heads;
    const A* sums = static_cast<const A*>(partials);
    merge_sums<T>(sums, count, width, features, 1, static_cast<T*>(a.grad_x) + row * a.heads.stride());
    T* alpha = static_cast<T*>(a.grad_alpha_src) + row * a.heads.all;
    merge_sums<T>(sums + features, count, width, a.heads.heads, 1, alpha);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/attention_launch.h"

namespace graphkern {
namespace {

// stats: [N, 3, H] for gat_backward_rows; writes grad_alpha_dst where positive_out is not empty.
Tensor stats_of(GatStatsArgs& args, const Tensor& grad) {
  const int64_t rows = grad.size(0), all = grad.size(1), depth = grad.size(2);
  Tensor stats = allocate({rows, 3, all}, accumulate_type(grad));
  args.value = value_of(grad);
  args.heads = Heads{0, all, all, depth};
  args.stats = stats.mutable_data_ptr();
  const auto kernel = GK_KERNEL(gat_stats);
  for_blocks(rows, all * depth, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return stats;
}

// grad, out: [N, H, D], x: [M, H, D], alpha_src: [M, H], alpha_dst: [N, H], alpha_edge: [E, H].
// Returns the gradients for x, alpha_src, alpha_dst and alpha_edge
std::tuple<Tensor, Tensor, Tensor, Tensor> gat_aggregate_backward(
    const Tensor& grad, const Tensor&, const Tensor&, const Tensor& t_indptr, const Tensor& t_indices,
    const Tensor& t_edge, const Tensor& x, const Tensor& alpha_src, const Tensor& alpha_dst,
    const std::optional<Tensor>& alpha_edge, const Tensor& out, const Tensor& lse, const Tensor& positive_out,
    const Tensor& positive_total, double negative_slope, double dropout_p, int64_t seed) {
  const Tensor g = as_contiguous(grad), features = as_contiguous(x), source = as_contiguous(alpha_src);
  const Tensor destination = as_contiguous(alpha_dst);
  const std::optional<Tensor> edge_scores = as_contiguous(alpha_edge);
  const int64_t all = x.size(1), depth = x.size(2), edges = alpha_edge ? t_indices.size(0) : 0;
  Tensor grad_x = allocate({x.size(0), all, depth}, x.scalar_type());
  Tensor grad_src = allocate({x.size(0), all}, x.scalar_type());
  Tensor grad_dst = allocate({alpha_dst.size(0), all}, x.scalar_type());
  Tensor grad_edge = allocate({edges, all}, x.scalar_type());
  GatStatsArgs stats_args{};
  stats_args.grad = pointer(g);
  stats_args.out = pointer(out);
  stats_args.alpha_dst = pointer(destination);
  stats_args.lse = pointer(lse);
  stats_args.positive_out = positive_out.numel() ? pointer(positive_out) : nullptr;
  stats_args.positive_total = pointer(positive_total);
  stats_args.grad_alpha_dst = grad_dst.mutable_data_ptr();
  stats_args.negative_slope = negative_slope;
  const Tensor stats = stats_of(stats_args, g);
  const auto rows = GK_KERNEL(gat_backward_rows);
  const auto piece = GK_KERNEL(gat_backward_piece);
  const auto merge = GK_KERNEL(gat_backward_merge);
  for_head_groups(x, [&](const Heads& heads) {
    GatBackwardArgs args{};
    args.value = value_of(x);
    args.graph = graph_of(t_indptr, t_indices, t_edge);
    args.heads = heads;
    args.dropout = make_dropout(dropout_p, seed);
    args.grad = from_head(g, heads.first * depth);
    args.x = from_head(features, heads.first * depth);
    args.alpha_src = from_head(source, heads.first);
    args.alpha_edge = edge_scores ? from_head(*edge_scores, heads.first) : nullptr;
    args.stats = from_head(stats, heads.first);
    args.grad_x = from_head(grad_x, heads.first * depth);
    args.grad_alpha_src = from_head(grad_src, heads.first);
    args.grad_alpha_edge = from_head(grad_edge, heads.first);
    args.negative_slope = negative_slope;
    const int64_t bytes = (heads.features() + heads.heads) * accumulate_bytes(x);
    reduce_rows(
        t_indptr, 2 * heads.features(), bytes, [&](int64_t begin, int64_t end) { rows(args, begin, end); },
        [&](const Piece& p, void* partial) { piece(args, p.row, p.begin, p.end, partial); },
        [&](int64_t row, const void* partials, int64_t count) { merge(args, row, partials, count); });
  });
  return {grad_x, grad_src, grad_dst, grad_edge};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("gat_aggregate_backward", TORCH_BOX(&graphkern::gat_aggregate_backward));
}
#endif
