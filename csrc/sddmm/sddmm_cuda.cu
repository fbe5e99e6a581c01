#include "../common/cuda.h"
#include "sddmm_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// q: [N, F], k: [M, F]. Returns [E, heads], stored edge e at row edge[e] (or e).
Tensor sddmm_cuda(
    Tensor indptr, Tensor indices, std::optional<Tensor> edge, std::optional<Tensor>, std::optional<Tensor>,
    std::optional<Tensor>, Tensor q, Tensor k, int64_t heads) {
  Call call(q);
  const int64_t num_rows = indptr.size(0) - 1, num_edges = indices.size(0), features = q.size(1);
  Tensor out = call.allocate({num_edges, heads}, q.scalar_type());
  dispatch(q, indices, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    const EdgeHeads<I> shape{
        call.read<I>(indptr), call.read<I>(indices), num_rows, num_edges, features, heads > 0 ? features / heads : 0,
        Divisor(heads)};
    sddmm(call.stream(), shape, call.read<I>(edge), call.read<T>(q), call.read<T>(k), write<T>(out));
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("sddmm", TORCH_BOX(&sddmm_cuda)); }
