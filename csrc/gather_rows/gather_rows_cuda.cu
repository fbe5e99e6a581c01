#include "../common/words.h"
#include "gather_rows_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// x: [N, F], on the device or pinned; hot: [C, F], slot: [N] int32, index: [n]. Returns [n, F]. What an index or a slot
// out of range takes is 0: finding it here would make each call wait for the device.
Tensor gather_rows_cuda(Tensor x, std::optional<Tensor> hot, std::optional<Tensor> slot, Tensor index) {
  Call call(index);
  Tensor out = call.allocate({index.size(0), x.size(1)}, x.scalar_type());
  if (out.numel() == 0) return out;
  const int64_t row_bytes = x.size(1) * int64_t(x.element_size());
  const void *from = call.read<void>(x), *cache = call.read<void>(hot);
  void* to = write<void>(out);
  const int32_t* slots = call.read<int32_t>(slot);
  dispatch_index(index, [&](auto i) {
    using I = typename decltype(i)::type;
    const CachedRows<I> rows{
        .index = call.read<I>(index),
        .slot = slots,
        .x = static_cast<const char*>(from),
        .hot = static_cast<const char*>(cache),
        .num_rows = x.size(0),
        .num_hot = hot ? hot->size(0) : 0,
        .row_bytes = row_bytes};
    dispatch_byte_or_word(word_bytes(row_bytes, {from, cache, to}), [&](auto word) {
      using Word = typename decltype(word)::type;
      copy_rows<Word>(call.stream(), rows, to, index.size(0), row_bytes);
    });
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("gather_rows", TORCH_BOX(&gather_rows_cuda)); }
