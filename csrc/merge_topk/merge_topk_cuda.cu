#include "../common/cuda.h"
#include "merge_topk_kernels.cuh"

namespace {

using namespace graphkern::cuda;

using Best = std::tuple<Tensor, Tensor>;

// Merges lists [first, last), and `before` unless it is null.
template <typename T>
Best merge(
    Call& call, const std::vector<Tensor>& values, const std::vector<Tensor>& indices, size_t first, size_t last,
    const Best* before, int64_t k) {
  ScoredLists<T> lists{};
  const auto add = [&](const Tensor& value, const Tensor& index) {
    lists.values[lists.count] = call.read<T>(value);
    lists.indices[lists.count] = call.read<int64_t>(index);
    lists.begin[lists.count + 1] = lists.begin[lists.count] + value.size(1);
    ++lists.count;
  };
  if (before != nullptr) add(std::get<0>(*before), std::get<1>(*before));
  for (size_t s = first; s < last; ++s) add(values[s], indices[s]);
  const int64_t num_rows = values[0].size(0);
  Best best{call.allocate({num_rows, k}, values[0].scalar_type()), call.allocate({num_rows, k}, ScalarType::Long)};
  merge_topk(
      call.stream(), lists, num_rows, k, write<T>(std::get<0>(best)), write<int64_t>(std::get<1>(best)),
      [&](int64_t bytes) { return call.workspace(bytes); });
  return best;
}

// values, indices: [B, k_s] each. Returns the k best of each row, [B, k] twice. More lists than a kernel takes go one
// group after the other, each with the best of those before.
Best merge_topk_cuda(std::vector<Tensor> values, std::vector<Tensor> indices, int64_t k) {
  STD_TORCH_CHECK(!values.empty() && values.size() == indices.size(), "expected as many indices as values");
  STD_TORCH_CHECK(k >= 1 && k < int64_t(1) << 29, "k must be in [1, 2^29) but is ", k);
  Call call(values[0]);
  std::optional<Best> best;
  dispatch_value(values[0], [&](auto t) {
    for (size_t first = 0; first < values.size();) {
      const size_t room = kMaxLists - (best ? 1 : 0), last = std::min(values.size(), first + room);
      best = merge<typename decltype(t)::type>(call, values, indices, first, last, best ? &*best : nullptr, k);
      first = last;
    }
  });
  Call::check_launch();
  return *best;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("merge_topk", TORCH_BOX(&merge_topk_cuda)); }
