#include "../common/cuda.h"
#include "rank_metrics_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// topk: [U, K]. Returns [len(ks), kMetrics, U], or [len(ks), kMetrics] means
Tensor rank_metrics_cuda(Tensor topk, Tensor indptr, Tensor indices, std::vector<int64_t> ks, bool per_user) {
  STD_TORCH_CHECK(!ks.empty() && ks[0] >= 1 && ks.back() <= topk.size(1), "ks must be in [1, ", topk.size(1), "]");
  Call call(topk);
  const int64_t count = ks.size(), num_users = topk.size(0);
  Tensor out = per_user ? call.allocate({count, kMetrics, num_users}, ScalarType::Double)
                        : call.allocate({count, kMetrics}, ScalarType::Double);
  dispatch_index(indices, [&](auto i) {
    using I = typename decltype(i)::type;
    RankArguments<I> arguments{
        call.read<int64_t>(topk), call.read<I>(indptr), call.read<I>(indices), nullptr, num_users, topk.size(1), {}};
    for (int64_t first = 0; first < count; first += kMaxCuts) {
      Cuts& cuts = arguments.cuts;
      cuts.count = int(std::min<int64_t>(count - first, kMaxCuts));
      std::copy_n(ks.begin() + first, cuts.count, cuts.ks);
      double* to = write<double>(out) + first * kMetrics * (per_user ? num_users : 1);
      arguments.out = per_user ? to : nullptr;
      rank_metrics(
          call.stream(), arguments, per_user ? nullptr : to, [&](int64_t bytes) { return call.workspace(bytes); });
    }
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("rank_metrics", TORCH_BOX(&rank_metrics_cuda)); }
