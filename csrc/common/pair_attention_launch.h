// Launchers of pair attention, shared by its ops. Compiled once.
#pragma once

#include "attention_launch.h"
#include "pair_attention.h"

namespace graphkern {

struct PairOptions {
  double scale, negative_slope, dropout_p;
  int64_t seed;
};

// own: [N, H, D], other, values: [M, H, D], att: [H, D] or null. Returns out [N, H, D] and lse [N, H]
template <typename R, typename P, typename M>
std::tuple<Tensor, Tensor> run_pair_attention(
    const Tensor& indptr, const Tensor& indices, const Tensor& own, const Tensor& other, const Tensor& values,
    const std::optional<Tensor>& att, const PairOptions& options, const R& rows, const P& piece, const M& merge) {
  const int64_t depth = own.size(2);
  Tensor out = allocate({own.size(0), own.size(1), depth}, own.scalar_type());
  Tensor lse = allocate({own.size(0), own.size(1)}, accumulate_type(own));
  for_head_groups(own, [&](const Heads& heads) {
    PairArgs args{};
    args.value = value_of(own);
    args.graph = graph_of(indptr, indices);
    args.heads = heads;
    args.dropout = make_dropout(options.dropout_p, options.seed);
    args.values = from_head(values, heads.first * depth);
    args.out = from_head(out, heads.first * depth);
    args.lse = from_head(lse, heads.first);
    args.own = from_head(own, heads.first * depth);
    args.other = from_head(other, heads.first * depth);
    args.att = att ? from_head(*att, heads.first * depth) : nullptr;
    args.scale = options.scale;
    args.negative_slope = options.negative_slope;
    run_attention(indptr, args, rows, piece, merge);
  });
  return {out, lse};
}

// grad, out: [N, H, D], lse: [N, H]. Returns lse and grad . out, [N, 2, H]
template <typename K>
Tensor pair_stats_of(const Tensor& grad, const Tensor& out, const Tensor& lse, const K& kernel) {
  const int64_t rows = grad.size(0), all = grad.size(1), depth = grad.size(2);
  Tensor stats = allocate({rows, 2, all}, accumulate_type(grad));
  const PairStatsArgs args{value_of(grad), Heads{0, all, all, depth}, pointer(grad), pointer(out),
                           pointer(lse),   stats.mutable_data_ptr()};
  for_blocks(rows, all * depth, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return stats;
}

// Blocks of rows for tasks, the same ones for any number of threads.
struct RowBlocks {
  int64_t num_rows, count;
  explicit RowBlocks(int64_t num_rows) : num_rows(num_rows), count(std::clamp<int64_t>(num_rows / 128, 1, 256)) {}
  int64_t begin(int64_t block) const { return num_rows * block / count; }
};

// As reduce_rows, with the blocks of rows for its tasks.
template <typename R, typename P, typename M>
void reduce_row_blocks(
    const Tensor& indptr, const RowBlocks& blocks, int64_t operations_per_edge, int64_t bytes, const R& rows,
    const P& piece, const M& merge) {
  const std::vector<Piece> pieces = Segments(indptr).long_pieces();
  const int64_t num_pieces = pieces.size();
  std::vector<char> partials(num_pieces * bytes);
  const int64_t threads = useful_threads((blocks.num_rows + num_pieces * kLongRow) * operations_per_edge);
  parallel_tasks(num_pieces + blocks.count, threads, [&](int64_t i) {
    i < num_pieces ? piece(pieces[i], partials.data() + i * bytes) : rows(i - num_pieces);
  });
  for_long_rows(
      pieces, [&](int64_t row, int64_t first, int64_t count) { merge(row, partials.data() + first * bytes, count); });
}

// sum[at + f] += partials[0][f] + partials[1][f] + ..., in the accumulation type; partials: [count, width]
inline void add_partials(const void* partials, int64_t count, int64_t width, Tensor& sum, int64_t at) {
  const auto add = [&](auto tag) {
    using A = decltype(tag);
    A* to = static_cast<A*>(sum.mutable_data_ptr()) + at;
    for (int64_t p = 0; p < count; ++p) {
      for (int64_t f = 0; f < width; ++f) to[f] += static_cast<const A*>(partials)[p * width + f];
    }
  };
  sum.scalar_type() == ScalarType::Double ? add(double{}) : add(float{});
}

// One side of a walk: its features, those whose products are the gradients of weights, and the gradients of both.
struct PairSide {
  const Tensor &features, &values;
  Tensor* grad_features;
  Tensor* grad_values;
};

// Gradients of the rows of `graph`, or with `transposed` those of the columns, which are its rows. grad_att: [H, D] in
// the accumulation type, added to where att is given. Blocks of rows do not depend on the number of threads, for the
// sake of grad_att.
template <typename R, typename P, typename M>
void run_pair_backward(
    const Tensor& indptr, const Graph& graph, bool transposed, const PairSide& own, const PairSide& other,
    const Tensor* att, const Tensor& stats, Tensor* grad_att, const PairOptions& options, const R& rows, const P& piece,
    const M& merge) {
  const int64_t depth = own.features.size(2), bytes = accumulate_bytes(own.features);
  for_head_groups(own.features, [&](const Heads& heads) {
    PairBackwardArgs args{};
    args.value = value_of(own.features);
    args.graph = graph;
    args.heads = heads;
    args.dropout = make_dropout(options.dropout_p, options.seed);
    args.transposed = transposed;
    args.own = from_head(own.features, heads.first * depth);
    args.own_values = from_head(own.values, heads.first * depth);
    args.other = from_head(other.features, heads.first * depth);
    args.other_values = from_head(other.values, heads.first * depth);
    args.att = att ? from_head(*att, heads.first * depth) : nullptr;
    args.stats = from_head(stats, heads.first);
    args.grad_own = from_head(*own.grad_features, heads.first * depth);
    args.grad_own_values = own.grad_values ? from_head(*own.grad_values, heads.first * depth) : nullptr;
    args.scale = options.scale;
    args.negative_slope = options.negative_slope;
    const int64_t att_bytes = att ? heads.features() * bytes : 0;
    const RowBlocks blocks(indptr.size(0) - 1);
    std::vector<char> att_sums((blocks.count + 1) * att_bytes);  // of each block; of the long rows
    reduce_row_blocks(
        indptr, blocks, heads.features(), 2 * heads.features() * bytes,
        [&](int64_t block) {
          rows(args, blocks.begin(block), blocks.begin(block + 1), att_sums.data() + block * att_bytes);
        },
        [&](const Piece& p, void* partial) { piece(args, p.row, p.begin, p.end, partial); },
        [&](int64_t row, void* partials, int64_t count) {
          merge(args, row, partials, count, att_sums.data() + blocks.count * att_bytes);
        });
    if (att) add_partials(att_sums.data(), blocks.count + 1, heads.features(), *grad_att, heads.first * depth);
  });
}

}  // namespace graphkern
