#include "../common/pairs_cuda.h"
#include "bce_loss_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// user: [U, D], item: [I, D], u, i: [B], label: [B] in the dtype that sums are kept in. Returns loss [B] and its
// derivative by the score [B].
std::tuple<Tensor, Tensor> bce_loss_cuda(Tensor user, Tensor item, Tensor u, Tensor i, Tensor label, bool) {
  Call call(user);
  return run_pair_losses(call, user, item, u, i, std::nullopt, [&](auto wide) {
    using A = typename decltype(wide)::type;
    return BceLoss<A>{call.read<A>(label)};
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("bce_loss", TORCH_BOX(&bce_loss_cuda)); }
