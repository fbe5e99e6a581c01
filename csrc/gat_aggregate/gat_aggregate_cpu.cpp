#include "../common/attention_forward.h"

namespace graphkern {

// alpha_src: [M, all], alpha_dst: [N, all], alpha_edge: [E, all] or null. Edges with a positive score are marked.
struct GatArgs : AttentionArgs {
  const void *alpha_src, *alpha_dst, *alpha_edge;
  double negative_slope;
};
GK_DECLARE_KERNEL(void, gat_rows, const GatArgs&, int64_t first, int64_t last)
GK_DECLARE_KERNEL(void, gat_piece, const GatArgs&, int64_t row, int64_t begin, int64_t end, void* partial)
GK_DECLARE_KERNEL(void, gat_merge, const GatArgs&, int64_t row, void* partials, int64_t count)

namespace GK_ISA {
namespace {

template <typename T>
void weigh(const GatArgs& a, RowWeights<T>& row, int64_t number) {
  using A = Accumulate<T>;
  const int64_t period = a.heads.period(), size = row.edges.count * period;
  const A slope = A(a.negative_slope);
  A own[kHeadGroup<A>], score[kScores<A>];
  spread_heads(static_cast<const T*>(a.alpha_dst) + number * a.heads.all, a.heads.heads, period, own);
  gather_heads<1>(row.edges, a.heads, static_cast<const T*>(a.alpha_src), {score});
  if (a.alpha_edge) add_edge_heads(row.edges, a.heads, static_cast<const T*>(a.alpha_edge), score);
  const auto leaky = [&](int64_t i, int64_t first) {
    const Vec<A> s = load(score + i) + load(own + first);
    return s > Vec<A>{} ? s : s * slope;
  };
  softmax<A>(size, period, leaky, row.weight, row.maximum, row.total);
  if (a.positive_out) {
    Vec<A> sum = {};
    for_scores<A>(
        size, period,
        [&](int64_t i, int64_t first) {
          const Vec<A> s = load(score + i) + load(own + first);
          const Vec<A> w = s > Vec<A>{} ? load(row.weight + i) : Vec<A>{};
          store(w, row.positive + i);
          sum += w;
        },
        [&](int64_t first) {
          store(fold_sum<A>(sum, period), row.positive_total + first);
          sum = Vec<A>{};
        });
  }
  if (!a.dropout.active) return;
  keep_factors(a.dropout, row.edges, a.heads, score);
  for (int64_t i = 0; i < size; ++i) row.weight[i] *= score[i];
  for (int64_t i = 0; a.positive_out && i < size; ++i) row.positive[i] *= score[i];
}

constexpr auto kWeigh = [](const GatArgs& a) {
  return [&](auto t, auto& row, int64_t number) { weigh<typename decltype(t)::type>(a, row, number); };
};

}  // namespace

void gat_rows(const GatArgs& a, int64_t first, int64_t last) { attention_rows<true, true>(a, first, last, kWeigh(a)); }

void gat_piece(const GatArgs& a, int64_t row, int64_t begin, int64_t end, void* partial) {
  attention_piece<true, true>(a, row, begin, end, partial, kWeigh(a));
}

void gat_merge(const GatArgs& a, int64_t row, void* partials, int64_t count) {
  attention_merge(a, row, partials, count);
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/attention_launch.h"

namespace graphkern {
namespace {

// x: [M, H, D], alpha_src: [M, H], alpha_dst: [N, H], alpha_edge: [E, H].
// Returns out [N, H, D], lse [N, H], positive_out [N, H, D] and positive_total [N, H] (empty without keep_positive)
std::tuple<Tensor, Tensor, Tensor, Tensor> gat_aggregate(
    const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>&, const std::optional<Tensor>&,
    const std::optional<Tensor>&, const Tensor& x, const Tensor& alpha_src, const Tensor& alpha_dst,
    const std::optional<Tensor>& alpha_edge, double negative_slope, double dropout_p, int64_t seed,
    bool keep_positive) {
  const Tensor values = as_contiguous(x), source = as_contiguous(alpha_src);
  const Tensor destination = as_contiguous(alpha_dst);
  const std::optional<Tensor> edge_scores = as_contiguous(alpha_edge);
  const int64_t rows = indptr.size(0) - 1, kept = keep_positive ? rows : 0, all = x.size(1), depth = x.size(2);
  const ScalarType wide = accumulate_type(x);
  Tensor out = allocate({rows, all, depth}, x.scalar_type()), lse = allocate({rows, all}, wide);
  Tensor positive_out = allocate({kept, all, depth}, wide), positive_total = allocate({kept, all}, wide);
  for_head_groups(x, [&](const Heads& heads) {
    GatArgs args{};
    args.value = value_of(x);
    args.graph = graph_of(indptr, indices);
    args.heads = heads;
    args.dropout = make_dropout(dropout_p, seed);
    args.values = from_head(values, heads.first * depth);
    args.out = from_head(out, heads.first * depth);
    args.lse = from_head(lse, heads.first);
    args.positive_out = from_head(positive_out, heads.first * depth);
    args.positive_total = from_head(positive_total, heads.first);
    args.alpha_src = from_head(source, heads.first);
    args.alpha_dst = from_head(destination, heads.first);
    args.alpha_edge = edge_scores ? from_head(*edge_scores, heads.first) : nullptr;
    args.negative_slope = negative_slope;
    run_attention(indptr, args, GK_KERNEL(gat_rows), GK_KERNEL(gat_piece), GK_KERNEL(gat_merge));
  });
  return {out, lse, positive_out, positive_total};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("gat_aggregate", TORCH_BOX(&graphkern::gat_aggregate)); }
#endif
