#include "../common/attention.h"

namespace graphkern {

// Softmax: score and out, [E, all]. Its gradient: weight (the softmax), grad and out, [E, all]. num_edges: E
struct EdgeSoftmaxArgs {
  Value value;
  Graph graph;
  Heads heads;
  int64_t num_edges;
  const void *score, *weight, *grad;
  void* out;
};
GK_DECLARE_KERNEL(void, edge_softmax_rows, const EdgeSoftmaxArgs&, int64_t first, int64_t last)
// A long row: partial of a piece is maximum and sum by head, [2, 16]; merge makes each that of the row; write uses it.
GK_DECLARE_KERNEL(void, edge_softmax_piece, const EdgeSoftmaxArgs&, int64_t begin, int64_t end, void* partial)
GK_DECLARE_KERNEL(void, edge_softmax_merge, const EdgeSoftmaxArgs&, void* partials, int64_t count)
GK_DECLARE_KERNEL(void, edge_softmax_write, const EdgeSoftmaxArgs&, int64_t begin, int64_t end, const void* partial)

namespace GK_ISA {
namespace {

// Values [begin, end) x heads of a tensor [E, all], by registers as for_scores walks them. Where heads are no power of
// two, or not all of a row, they go through `padded` [edges, period].
template <typename T>
class Block {
 public:
  using A = Accumulate<T>;

  Block(const EdgeSoftmaxArgs& a, const void* tensor, int64_t begin, int64_t end, A* padded)
      : from_(static_cast<const T*>(tensor) + begin * a.heads.all), padded_(direct(a.heads) ? nullptr : padded) {
    left_ = (a.num_edges - begin) * a.heads.all;
    if (padded_) {
      const int64_t heads = a.heads.heads, period = a.heads.period();
      for (int64_t e = 0; e < end - begin; ++e) {
        for (int64_t h = 0; h < period; ++h) {
          padded_[e * period + h] = h < heads ? to_accumulate(from_[e * a.heads.all + h]) : A(0);
        }
      }
    }
  }

  static bool direct(const Heads& heads) { return heads.heads == heads.all && heads.heads == heads.period(); }

  Vec<A> operator()(int64_t i) const {
    if (padded_) return load(padded_ + i);
    return i + kLanes<A> <= left_ ? load(from_ + i) : load_partial(from_ + i, int(left_ - i));
  }

 private:
  const T* from_;
  A* padded_;
  int64_t left_;  // values up to the end of the tensor
};

// out[begin + e, h] = value(i, first) for the registers of [edges, period]
template <typename T, typename F>
void write_block(const EdgeSoftmaxArgs& a, int64_t begin, int64_t end, Accumulate<T>* padded, const F& value) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const int64_t period = a.heads.period(), size = (end - begin) * period;
  T* out = static_cast<T*>(a.out) + begin * a.heads.all;
  const auto nothing = [](int64_t) {};
  if (Block<T>::direct(a.heads)) {
    return for_scores<A>(
        size, period,
        [&](int64_t i, int64_t first) { store_some<A>(value(i, first), out + i, int(size - i < L ? size - i : L)); },
        nothing);
  }
  for_scores<A>(size, period, [&](int64_t i, int64_t first) { store(value(i, first), padded + i); }, nothing);
  for (int64_t e = 0; e < end - begin; ++e) {
    for (int64_t h = 0; h < a.heads.heads; ++h) from_accumulate(padded[e * period + h], out + e * a.heads.all + h);
  }
}

// One row, or a piece of a long one. maximum, sum: by head, as in spread_heads
template <typename T>
struct Row {
  using A = Accumulate<T>;
  A first[kScores<A>], second[kScores<A>], maximum[kHeadGroup<A>], sum[kHeadGroup<A>];

  void reduce(const EdgeSoftmaxArgs& a, int64_t begin, int64_t end) {
    const int64_t period = a.heads.period(), size = (end - begin) * period;
    if (a.score) {
      const Block<T> score(a, a.score, begin, end, first);
      return softmax<A>(size, period, [&](int64_t i, int64_t) { return score(i); }, first, maximum, sum);
    }
    const Block<T> weight(a, a.weight, begin, end, first), grad(a, a.grad, begin, end, second);
    Vec<A> total = {};
    for_scores<A>(
        size, period, [&](int64_t i, int64_t) { total += select_lanes<A>(size - i, weight(i) * grad(i), Vec<A>{}); },
        [&](int64_t head) {
          store(fold_sum<A>(total, period), sum + head);
          total = Vec<A>{};
        });
  }

  // With `first` and `second` as reduce leaves them.
  void write(const EdgeSoftmaxArgs& a, int64_t begin, int64_t end) {
    if (a.score) {
      for (int64_t i = 0; i < kHeadGroup<A>; ++i) sum[i] = A(1) / sum[i];
      return write_block<T>(
          a, begin, end, first, [&](int64_t i, int64_t head) { return load(first + i) * load(sum + head); });
    }
    write_gradient(a, begin, end);
  }

  void write_gradient(const EdgeSoftmaxArgs& a, int64_t begin, int64_t end) {
    const Block<T> weight(a, a.weight, begin, end, first), grad(a, a.grad, begin, end, second);
    write_block<T>(
        a, begin, end, first, [&](int64_t i, int64_t head) { return weight(i) * (grad(i) - load(sum + head)); });
  }
};

}  // namespace

void edge_softmax_rows(const EdgeSoftmaxArgs& a, int64_t first, int64_t last) {
  dispatch_value(a.value, [&](auto t) {
    Row<typename decltype(t)::type> state;
    for (int64_t row = first; row < last; ++row) {
      const int64_t begin = row_begin(a.graph, row), end = row_begin(a.graph, row + 1);
      if (begin == end || end - begin > kLongRow) continue;
      state.reduce(a, begin, end);
      state.write(a, begin, end);
    }
  });
}

void edge_softmax_piece(const EdgeSoftmaxArgs& a, int64_t begin, int64_t end, void* partial) {
  dispatch_value(a.value, [&](auto t) {
    using A = Accumulate<typename decltype(t)::type>;
    Row<typename decltype(t)::type> state;
    state.reduce(a, begin, end);
    A* out = static_cast<A*>(partial);
    for (int64_t i = 0; i < kHeadGroup<A>; ++i) {
      if (a.score) out[i] = state.maximum[i];
      out[kHeadGroup<A> + i] = state.sum[i];
    }
  });
}

void edge_softmax_merge(const EdgeSoftmaxArgs& a, void* partials, int64_t count) {
  dispatch_value(a.value, [&](auto t) {
    using A = Accumulate<typename decltype(t)::type>;
    constexpr int64_t kGroup = kHeadGroup<A>;
    const auto piece = [&](int64_t p) { return static_cast<A*>(partials) + p * 2 * kGroup; };
    for (int64_t i = 0; i < kGroup; ++i) {
      A greatest = -A(INFINITY), sum = 0;
      for (int64_t p = 0; a.score && p < count; ++p) greatest = piece(p)[i] > greatest ? piece(p)[i] : greatest;
      for (int64_t p = 0; p < count; ++p) {
        const A part = piece(p)[kGroup + i];
        sum += !a.score ? part : part == 0 ? A(0) : part * exp(Vec<A>{} + (piece(p)[i] - greatest))[0];
      }
      for (int64_t p = 0; p < count; ++p) {
        if (a.score) piece(p)[i] = greatest;
        piece(p)[kGroup + i] = sum;
      }
    }
  });
}

void edge_softmax_write(const EdgeSoftmaxArgs& a, int64_t begin, int64_t end, const void* partial) {
  dispatch_value(a.value, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    Row<T> state;
    const A *maximum = static_cast<const A*>(partial), *sum = maximum + kHeadGroup<A>;
    for (int64_t i = 0; i < kHeadGroup<A>; ++i) state.sum[i] = a.score ? A(1) / sum[i] : sum[i];
    if (!a.score) return state.write_gradient(a, begin, end);
    const Block<T> score(a, a.score, begin, end, state.first);
    write_block<T>(a, begin, end, state.first, [&](int64_t i, int64_t head) {
      return exp(score(i) - load(maximum + head)) * load(state.sum + head);
    });
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/attention_launch.h"

namespace graphkern {
namespace {

// Of args: score, or weight and grad; each [E, H]. Returns [E, H]
Tensor run_edge_softmax(const Tensor& indptr, const Tensor* score, const Tensor* weight, const Tensor* grad) {
  const Tensor& values = score ? *score : *weight;
  const int64_t all = values.size(1), group = 64 / accumulate_bytes(values);
  Tensor out = allocate({values.size(0), all}, values.scalar_type());
  const std::vector<Piece> pieces = Segments(indptr).long_pieces();
  constexpr int64_t kBytes = 2 * 64;  // of a partial
  std::vector<char> partials(pieces.size() * kBytes);
  const auto partial = [&](int64_t i) { return partials.data() + i * kBytes; };
  const auto rows = GK_KERNEL(edge_softmax_rows);
  const auto reduce = GK_KERNEL(edge_softmax_piece);
  const auto write = GK_KERNEL(edge_softmax_write);
  for (int64_t head = 0; head < all; head += group) {
    EdgeSoftmaxArgs args{};
    args.value = value_of(values);
    args.graph = {is_64bit(indptr), pointer(indptr), nullptr, nullptr};
    args.heads = {head, std::min(group, all - head), all, 1};
    args.num_edges = values.size(0);
    args.score = score ? from_head(*score, head) : nullptr;
    args.weight = weight ? from_head(*weight, head) : nullptr;
    args.grad = grad ? from_head(*grad, head) : nullptr;
    args.out = from_head(out, head);
    parallel_rows(
        indptr, 4 * args.heads.heads, pieces.size(),
        [&](int64_t i) { reduce(args, pieces[i].begin, pieces[i].end, partial(i)); },
        [&](int64_t begin, int64_t end) { rows(args, begin, end); });
    for_long_rows(pieces, [&](int64_t, int64_t first, int64_t count) {
      GK_KERNEL(edge_softmax_merge)(args, partial(first), count);
    });
    parallel_tasks(pieces.size(), useful_threads(pieces.size() * kLongRow), [&](int64_t i) {
      write(args, pieces[i].begin, pieces[i].end, partial(i));
    });
  }
  return out;
}

// score: [E, H]
Tensor edge_softmax(const Tensor& indptr, const Tensor& score) {
  const Tensor scores = as_contiguous(score);
  return run_edge_softmax(indptr, &scores, nullptr, nullptr);
}

// grad, weight: [E, H]
Tensor edge_softmax_backward(const Tensor& indptr, const Tensor& grad, const Tensor& weight) {
  const Tensor g = as_contiguous(grad), w = as_contiguous(weight);
  return run_edge_softmax(indptr, nullptr, &w, &g);
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("edge_softmax", TORCH_BOX(&graphkern::edge_softmax));
  m.impl("edge_softmax_backward", TORCH_BOX(&graphkern::edge_softmax_backward));
}
#endif
