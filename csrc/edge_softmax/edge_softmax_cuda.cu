#include "../common/cuda.h"
#include "edge_softmax_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// score: [E, H]. Returns [E, H].
Tensor edge_softmax_cuda(Tensor indptr, Tensor score) {
  Call call(score);
  const int64_t num_edges = score.size(0), heads = score.size(1);
  Tensor out = call.allocate({num_edges, heads}, score.scalar_type());
  dispatch(score, indptr, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    const auto* bounds = call.read<typename decltype(i)::type>(indptr);
    const T* values = call.read<T>(score);
    T* result = write<T>(out);
    dispatch_width<T>(heads, is_aligned(values) && is_aligned(result), [&](auto wide) {
      const SoftmaxBody<T, decltype(wide)::width> body{values, result};
      softmax(call.stream(), body, bounds, indptr.size(0) - 1, num_edges, heads, [&](int64_t bytes) {
        return call.workspace(bytes);
      });
    });
  });
  Call::check_launch();
  return out;
}

// grad, weight: [E, H]. Returns [E, H].
Tensor edge_softmax_backward_cuda(Tensor indptr, Tensor grad, Tensor weight) {
  Call call(weight);
  const int64_t num_edges = weight.size(0), heads = weight.size(1);
  Tensor out = call.allocate({num_edges, heads}, weight.scalar_type());
  dispatch(weight, indptr, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    const auto* bounds = call.read<typename decltype(i)::type>(indptr);
    const T *upstream = call.read<T>(grad), *weights = call.read<T>(weight);
    T* result = write<T>(out);
    const bool aligned = is_aligned(upstream) && is_aligned(weights) && is_aligned(result);
    dispatch_width<T>(heads, aligned, [&](auto wide) {
      const SoftmaxGradientBody<T, decltype(wide)::width> body{upstream, weights, result};
      softmax(call.stream(), body, bounds, indptr.size(0) - 1, num_edges, heads, [&](int64_t bytes) {
        return call.workspace(bytes);
      });
    });
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) {
  m.impl("edge_softmax", TORCH_BOX(&edge_softmax_cuda));
  m.impl("edge_softmax_backward", TORCH_BOX(&edge_softmax_backward_cuda));
}
