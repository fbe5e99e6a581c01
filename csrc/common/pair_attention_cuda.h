// Launchers of pair attention, shared by its ops.
#pragma once

#include "attention_cuda.h"
#include "pair_attention.cuh"

namespace graphkern::cuda {

struct PairOptions {
  double scale, negative_slope, dropout_p;
  int64_t seed;
};

// own: [N, H, D], other, values: [M, H, D], att: [H, D] where additive. Returns out [N, H, D] and lse [N, H].
template <bool kAdditive>
std::tuple<Tensor, Tensor> run_pair_attention(
    const Tensor& indptr, const Tensor& indices, const Tensor& own, const Tensor& other, const Tensor& values,
    const std::optional<Tensor>& att, const PairOptions& options) {
  Call call(own);
  const int64_t heads = own.size(1), depth = own.size(2);
  Tensor out = call.allocate({own.size(0), heads, depth}, own.scalar_type());
  Tensor lse = call.allocate({own.size(0), heads}, accumulate_type(own));
  dispatch(own, indices, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    using A = Accumulate<T>;
    const auto graph = read_graph<I>(call, indptr, indices, std::nullopt);
    const T *mine = call.read<T>(own), *theirs = call.read<T>(other), *weights = call.read<T>(att);
    const T* sources = kAdditive ? theirs : call.read<T>(values);
    T* result = write<T>(out);
    const bool aligned = is_aligned(mine) && is_aligned(theirs) && is_aligned(weights) && is_aligned(sources);
    dispatch_head<T>(depth, aligned && is_aligned(result), [&](auto wide) {
      constexpr int W = decltype(wide)::width;
      const PairBody<kAdditive, T, I, W> body{
          graph,
          head_layout<T, W>(heads, depth),
          make_dropout(options.dropout_p, options.seed),
          {mine, theirs, weights, A(options.negative_slope)},
          sources,
          result,
          write<A>(lse),
          A(options.scale)};
      launch_attention(call.stream(), body, [&](int64_t bytes) { return call.workspace(bytes); });
    });
  });
  Call::check_launch();
  return {out, lse};
}

// One side of a walk: its features, those whose products are the gradients of weights, and the gradients of both.
struct PairSide {
  const Tensor &features, &values;
  const Tensor* grad_features;
  const Tensor* grad_values;
};

// Memory that the launches of a call use in turn.
class ReusedMemory {
 public:
  explicit ReusedMemory(Call& call) : call_(call) {}

  void* operator()(int64_t bytes) {
    if (bytes > bytes_) {
      memory_ = call_.workspace(bytes);
      bytes_ = bytes;
    }
    return memory_;
  }

 private:
  Call& call_;
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
};

// Gradients of the rows of the graph, or with `transposed` those of the columns, which are its rows. att: [H, D] where
// additive, with grad_att [rows, H, D] in the accumulation type, what each row gives it.
template <bool kAdditive>
void run_pair_backward(
    Call& call, ReusedMemory& pieces, const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>& edge,
    bool transposed, const PairSide& own, const PairSide& other, const std::optional<Tensor>& att, const Tensor& stats,
    void* grad_att, const PairOptions& options) {
  const int64_t heads = own.features.size(1), depth = own.features.size(2);
  dispatch(own.features, indices, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    using A = Accumulate<T>;
    const T *mine = call.read<T>(own.features), *theirs = call.read<T>(other.features);
    const T* weights = call.read<T>(att);
    const auto values_of = [&](const PairSide& side, const T* features) {
      return &side.values == &side.features ? features : call.read<T>(side.values);
    };
    const T *my_values = values_of(own, mine), *their_values = values_of(other, theirs);
    T* grad = write<T>(*own.grad_features);
    T* grad_values = own.grad_values != nullptr ? write<T>(*own.grad_values) : nullptr;
    const bool aligned = is_aligned(mine) && is_aligned(theirs) && is_aligned(weights) && is_aligned(my_values) &&
                         is_aligned(their_values) && is_aligned(grad) && is_aligned(grad_values);
    dispatch_head<T>(depth, aligned, [&](auto wide) {
      constexpr int W = decltype(wide)::width;
      const A slope = A(options.negative_slope);
      const PairGradientBody<kAdditive, T, I, W> body{
          read_graph<I>(call, indptr, indices, edge),
          head_layout<T, W>(heads, depth),
          make_dropout(options.dropout_p, options.seed),
          {mine, theirs, weights, slope},
          {my_values, their_values, nullptr, slope},
          static_cast<const Vector<A, 2>*>(stats.const_data_ptr()),
          grad,
          grad_values,
          static_cast<A*>(grad_att),
          A(options.scale),
          transposed};
      launch_attention(call.stream(), body, pieces);
    });
  });
}

}  // namespace graphkern::cuda
