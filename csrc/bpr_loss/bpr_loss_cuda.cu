#include "../common/pairs_cuda.h"
#include "bpr_loss_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// user: [U, D], item: [I, D], u, i, j: [B]. Returns loss [B] and its derivative by the score difference [B].
std::tuple<Tensor, Tensor> bpr_loss_cuda(Tensor user, Tensor item, Tensor u, Tensor i, Tensor j, bool) {
  Call call(user);
  return run_pair_losses(call, user, item, u, i, j, [](auto wide) { return BprLoss<typename decltype(wide)::type>{}; });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("bpr_loss", TORCH_BOX(&bpr_loss_cuda)); }
