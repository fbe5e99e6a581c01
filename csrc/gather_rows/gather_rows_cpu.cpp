#include "../common/gather.h"

namespace graphkern {

GK_DECLARE_KERNEL(bool, gather_rows_range, const GatherArgs&, char* out, int64_t begin, int64_t end)

namespace GK_ISA {

bool gather_rows_range(const GatherArgs& a, char* out, int64_t begin, int64_t end) {
  return copy_rows(a, out, begin, end);
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/parallel.h"

namespace graphkern {
namespace {

// x: [N, F], hot: [C, F], slot: [N] int32, index: [n]. Returns [n, F]
Tensor gather_rows(
    const Tensor& x, const std::optional<Tensor>& hot, const std::optional<Tensor>& slot, const Tensor& index) {
  const Tensor values = as_contiguous(x), places = as_contiguous(index);
  const std::optional<Tensor> cache = as_contiguous(hot), slots = as_contiguous(slot);
  const int64_t num_taken = index.size(0), features = x.size(1);
  Tensor out = allocate({num_taken, features}, x.scalar_type());
  if (out.numel() == 0) return out;
  STD_TORCH_CHECK(x.size(0) > 0, "index out of range: there are no rows");
  const GatherArgs args{
      .is_64bit = is_64bit(places),
      .index = pointer(places),
      .x = static_cast<const char*>(pointer(values)),
      .hot = static_cast<const char*>(pointer(cache)),
      .slot = static_cast<const int32_t*>(pointer(slots)),
      .num_rows = x.size(0),
      .num_hot = cache ? cache->size(0) : 0,
      .row_bytes = features * int64_t(x.element_size())};
  char* to = static_cast<char*>(out.mutable_data_ptr());
  const int64_t block = std::max<int64_t>(1, 65536 / args.row_bytes);
  const auto kernel = GK_KERNEL(gather_rows_range);
  std::atomic<bool> good{true};
  parallel_tasks((num_taken + block - 1) / block, useful_threads(out.numel()), [&](int64_t task) {
    if (!kernel(args, to, task * block, std::min((task + 1) * block, num_taken))) good = false;
  });
  STD_TORCH_CHECK(good, "index or slot out of range: not in [0, ", args.num_rows, ") or not below ", args.num_hot);
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("gather_rows", TORCH_BOX(&graphkern::gather_rows)); }
#endif
