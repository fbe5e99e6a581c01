#include "../common/isa.h"
#include "walks.h"

#ifdef GK_LAUNCHER
#include <atomic>

#include "../common/index_checks.h"
#include "../common/parallel.h"

namespace graphkern {
namespace {

// See ops/random_walk/reference.py. Returns [B, length + 1]
Tensor random_walk(
    const Tensor& indptr, const Tensor& indices, const std::optional<Tensor>& set_indptr,
    const std::optional<Tensor>& set_indices, const Tensor& start, int64_t length, const std::vector<int64_t>& weight,
    int64_t seed) {
  STD_TORCH_CHECK(length >= 0 && length < int64_t(1) << 31, "length must be in [0, 2^31) but is ", length);
  STD_TORCH_CHECK(weight.size() == 3, "expected three weights");
  const Tensor pointers = as_contiguous(indptr), columns = as_contiguous(indices), nodes = as_contiguous(start);
  const std::optional<Tensor> set_pointers = as_contiguous(set_indptr), set_columns = as_contiguous(set_indices);
  check_index(nodes, "start", indptr.size(0) - 1);
  const int64_t num_walks = start.size(0);
  Tensor out = allocate({num_walks, length + 1}, indices.scalar_type());
  Walks walks{};
  walks.is_64bit = is_64bit(indices);
  walks.indptr = pointer(pointers);
  walks.indices = pointer(columns);
  walks.set_indptr = pointer(set_pointers);
  walks.set_indices = pointer(set_columns);
  walks.start = pointer(nodes);
  walks.out = out.mutable_data_ptr();
  walks.length = length;
  for (int i = 0; i < 3; ++i) walks.weight[i] = uint64_t(weight[i]);
  walks.seed = uint64_t(seed);
  constexpr int64_t kOperations = 32, kMaxChunk = 4096, kChunksPerThread = 8;
  const int64_t threads = useful_threads(num_walks * (length + 1) * kOperations);
  const int64_t share = (num_walks + threads * kChunksPerThread - 1) / (threads * kChunksPerThread);
  const int64_t chunk = threads == 1 ? kMaxChunk : std::clamp<int64_t>(share, 64, kMaxChunk);
  const bool is_uniform = weight[0] == weight[1] && weight[1] == weight[2];
  const auto walk = is_uniform ? GK_KERNEL(walk_uniform) : GK_KERNEL(walk_node2vec);
  std::atomic<bool> good{true};
  parallel_tasks((num_walks + chunk - 1) / chunk, threads, [&](int64_t task) {
    if (!walk(walks, task * chunk, std::min(num_walks, (task + 1) * chunk))) good = false;
  });
  STD_TORCH_CHECK(good, "random_walk: a row has 2^32 edges or more");
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("random_walk", TORCH_BOX(&graphkern::random_walk)); }
#endif
