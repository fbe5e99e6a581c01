#include "../common/cuda.h"
#include "counting_sort_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// index: [E]. Returns indptr [num_bins + 1] and permutation [E]. An index out of range is in no bin, and its position
// comes last: finding it here would make each call wait for the device.
std::tuple<Tensor, Tensor> counting_sort_cuda(Tensor index, int64_t num_bins) {
  Call call(index);
  Tensor indptr = call.allocate({num_bins + 1}, index.scalar_type());
  Tensor permutation = call.allocate({index.size(0)}, index.scalar_type());
  dispatch_index(index, [&](auto i) {
    using I = typename decltype(i)::type;
    counting_sort(
        call.stream(), call.read<I>(index), index.size(0), num_bins, write<I>(indptr), write<I>(permutation),
        [&](int64_t bytes) { return call.workspace(bytes); });
  });
  Call::check_launch();
  return {indptr, permutation};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("counting_sort", TORCH_BOX(&counting_sort_cuda)); }
