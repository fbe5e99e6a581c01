#include "../common/cuda.h"
#include "merge_topk_kernels.cuh"

namespace {

using namespace graphkern::cuda;

using Best = std::tuple<Tensor, Tensor>;

// Merges as many lists from `next` on as a kernel takes, and `before` unless it is null. Moves `next` behind them.
template <typename T, typename Allocate>
Best merge(
    Call& call, const std::vector<Tensor>& values, const std::vector<Tensor>& indices, size_t& next, const Best* before,
    int64_t k, const Allocate& allocate) {
  ScoredLists<T> lists{};
  const auto add = [&](const T* value, const int64_t* index, int64_t size) {
    lists.values[lists.count] = value;
    lists.indices[lists.count] = index;
    lists.begin[lists.count + 1] = lists.begin[lists.count] + size;
    ++lists.count;
  };
  if (before != nullptr) add(write<T>(std::get<0>(*before)), write<int64_t>(std::get<1>(*before)), k);
  for (; next < values.size() && lists.count < kMaxLists; ++next) {
    add(call.read<T>(values[next]), call.read<int64_t>(indices[next]), values[next].size(1));
  }
  const int64_t num_rows = values[0].size(0);
  Best best{call.allocate({num_rows, k}, values[0].scalar_type()), call.allocate({num_rows, k}, ScalarType::Long)};
  merge_topk(
      call.stream(), lists, num_rows, k, write<T>(std::get<0>(best)), write<int64_t>(std::get<1>(best)), allocate);
  return best;
}

// values, indices: [B, k_s] each. Returns the k best of each row, [B, k] twice. More lists than a kernel takes go one
// group after the other, each with the best of those before.
Best merge_topk_cuda(std::vector<Tensor> values, std::vector<Tensor> indices, int64_t k) {
  STD_TORCH_CHECK(!values.empty() && values.size() == indices.size(), "expected as many indices as values");
  STD_TORCH_CHECK(k >= 1 && k < int64_t(1) << 29, "k must be in [1, 2^29) but is ", k);
  Call call(values[0]);
  std::optional<Best> best;
  void* space = nullptr;
  const auto allocate = [&](int64_t bytes) { return space != nullptr ? space : space = call.workspace(bytes); };
  dispatch_value(values[0], [&](auto t) {
    for (size_t next = 0; next < values.size();) {
      best = merge<typename decltype(t)::type>(call, values, indices, next, best ? &*best : nullptr, k, allocate);
    }
  });
  Call::check_launch();
  return *best;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("merge_topk", TORCH_BOX(&merge_topk_cuda)); }
