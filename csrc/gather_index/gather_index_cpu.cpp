#include "../common/gather.h"
#include "../common/scatter.h"

namespace graphkern {

// The way back of a scatter (see ScatterArgs, where src is not used): out [entries, width] from x [rows, width].
// Entries [begin, end) whose rows are of value_bytes * width. Returns whether every index was in range; row 0
// stands for those that are not.
GK_DECLARE_KERNEL(
    bool, gather_entries, const ScatterArgs&, int64_t value_bytes, const void* x, void* out, int64_t begin, int64_t end)

namespace GK_ISA {
namespace {

template <typename T, typename I>
bool gather_elements(const ScatterArgs& a, const T* x, T* out, int64_t begin, int64_t end) {
  const I* index = static_cast<const I*>(a.index);
  const int64_t columns = a.elements ? a.features : 1;
  int64_t column = begin % columns;
  bool good = true;
  for (int64_t e = begin; e < end; ++e) {
    const bool inside = uint64_t(int64_t(index[e])) < uint64_t(a.num_rows);
    out[e] = x[inside ? int64_t(index[e]) * columns + column : 0];
    good &= inside;
    column = column + 1 == columns ? 0 : column + 1;
  }
  return good;
}

template <typename I>
bool gather(const ScatterArgs& a, int64_t value_bytes, const char* x, char* out, int64_t begin, int64_t end) {
  const auto elements = [&](auto value) {
    using T = decltype(value);
    return gather_elements<T, I>(a, reinterpret_cast<const T*>(x), reinterpret_cast<T*>(out), begin, end);
  };
  const int64_t bytes = value_bytes * a.width();
  if (a.elements || a.features == 1 || bytes <= 8) {
    if (bytes == 2) return elements(uint16_t{});
    if (bytes == 4) return elements(uint32_t{});
    if (bytes == 8) return elements(uint64_t{});
  }
  const GatherArgs rows{
      .is_64bit = a.is_64bit,
      .index = a.index,
      .x = x,
      .hot = nullptr,
      .slot = nullptr,
      .num_rows = a.num_rows,
      .num_hot = 0,
      .row_bytes = bytes};
  return copy_rows(rows, out, begin, end);
}

}  // namespace

bool gather_entries(const ScatterArgs& a, int64_t value_bytes, const void* x, void* out, int64_t begin, int64_t end) {
  bool good = true;
  dispatch_index(a.is_64bit, [&](auto i) {
    const char* from = static_cast<const char*>(x);
    good = gather<typename decltype(i)::type>(a, value_bytes, from, static_cast<char*>(out), begin, end);
  });
  return good;
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/scatter_plan.h"

namespace graphkern {
namespace {

// x: [B, N, K], index: [B or 1, L, K or 1]. Returns [B, L, K]
Tensor gather_index(const Tensor& x, const Tensor& index) {
  const Tensor values = as_contiguous(x), places = as_contiguous(index);
  const int64_t batches = x.size(0), length = index.size(1), features = x.size(2), value_bytes = x.element_size();
  Tensor out = allocate({batches, length, features}, x.scalar_type());
  if (out.numel() == 0) return out;
  STD_TORCH_CHECK(x.size(1) > 0, "index out of range: there are no rows");
  const int64_t out_batch = length * features * value_bytes, x_batch = x.size(1) * features * value_bytes;
  const ScatterArgs first = batch_args(values, places, x.size(1), 0);
  const int64_t index_batch = index.size(0) > 1 ? length * index.size(2) * int64_t(index.element_size()) : 0;
  const int64_t entries = first.entries(), block = std::max<int64_t>(1, 16384 / first.width());
  const int64_t blocks = (entries + block - 1) / block;
  const char* from = static_cast<const char*>(pointer(values));
  char* to = static_cast<char*>(out.mutable_data_ptr());
  const auto kernel = GK_KERNEL(gather_entries);
  std::atomic<bool> good{true};
  parallel_tasks(batches * blocks, useful_threads(out.numel()), [&](int64_t task) {
    const int64_t b = task / blocks, begin = task % blocks * block;
    ScatterArgs a = first;
    a.index = static_cast<const char*>(first.index) + b * index_batch;
    const int64_t end = std::min(begin + block, entries);
    if (!kernel(a, value_bytes, from + b * x_batch, to + b * out_batch, begin, end)) good = false;
  });
  STD_TORCH_CHECK(good, "index out of range: not in [0, ", x.size(1), ")");
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("gather_index", TORCH_BOX(&graphkern::gather_index)); }
#endif
