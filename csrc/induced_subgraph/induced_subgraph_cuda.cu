#include "../common/cuda.h"
#include "induced_subgraph_kernels.cuh"

namespace {

using namespace graphkern::cuda;

using Induced = std::tuple<Tensor, Tensor, Tensor, Tensor>;

template <typename I>
Induced induced(const Tensor& indptr, const Tensor& indices, const Tensor& nodes) {
  Call call(indices);
  const auto allocate = [&](int64_t bytes) { return call.workspace(bytes); };
  const int64_t num_kept = nodes.size(0);
  Tensor bounds = call.allocate({num_kept + 1}, indices.scalar_type());
  Tensor repeated = call.allocate({1}, ScalarType::Long);
  InducedArguments<I> a{call.read<I>(indptr), call.read<I>(indices), call.read<I>(nodes), num_kept, {}, nullptr};
  place_nodes(call.stream(), a, indptr.size(0) - 1, write<unsigned long long>(repeated), allocate);
  const int64_t num_edges = call.to_host(a.rows + num_kept, 1)[0], num_words = (num_edges + kWarp - 1) / kWarp;
  unsigned* words = static_cast<unsigned*>(allocate(num_words * 4));
  I* before = static_cast<I*>(allocate((num_words + 1) * int64_t(sizeof(I))));
  keep_edges(call.stream(), a, num_edges, words, before, write<I>(bounds), allocate);
  const int64_t size = call.to_host(before + num_words, 1)[0];
  Tensor columns = call.allocate({size}, indices.scalar_type()), edges = call.allocate({size}, indices.scalar_type());
  launch(
      call.stream(), num_words * kWarp, write_kept<I>, a, num_words, words, before, write<I>(columns), write<I>(edges));
  Call::check_launch();
  return {bounds, columns, edges, repeated};
}

// See ops/induced_subgraph/reference.py.
Induced induced_subgraph_cuda(Tensor indptr, Tensor indices, Tensor nodes) {
  STD_TORCH_CHECK(nodes.size(0) < UINT32_MAX, "2^32 nodes or more");
  if (indices.scalar_type() == ScalarType::Long) return induced<int64_t>(indptr, indices, nodes);
  return induced<int32_t>(indptr, indices, nodes);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("induced_subgraph", TORCH_BOX(&induced_subgraph_cuda)); }
