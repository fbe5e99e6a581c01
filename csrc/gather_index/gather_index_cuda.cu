#include "../common/words.h"
#include "gather_index_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// x: [B, N, K], index: [B or 1, L, K or 1]. Returns [B, L, K]. What an index out of range takes is 0: finding it here
// would make each call wait for the device.
Tensor gather_index_cuda(Tensor x, Tensor index) {
  Call call(x);
  Tensor out = call.allocate({x.size(0), index.size(1), x.size(2)}, x.scalar_type());
  if (out.numel() == 0) return out;
  const int64_t batches = index.size(0), columns = index.size(2), repeats = x.size(0) == batches ? 1 : x.size(0);
  const int64_t element_bytes = int64_t(x.element_size()), row_bytes = (columns > 1 ? 1 : x.size(2)) * element_bytes;
  const void* from = call.read<void>(x);
  void* to = write<void>(out);
  dispatch_index(index, [&](auto i) {
    using I = typename decltype(i)::type;
    const auto places = scatter_index(call.read<I>(index), batches, index.size(1), columns, x.size(1));
    const IndexedRows<I> rows{places, Divisor(places.num_entries()), static_cast<const char*>(from), row_bytes};
    dispatch_word(word_bytes(row_bytes, {from, to}), [&](auto word) {
      using Word = typename decltype(word)::type;
      copy_rows<Word>(call.stream(), rows, to, repeats * places.num_entries(), row_bytes);
    });
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("gather_index", TORCH_BOX(&gather_index_cuda)); }
