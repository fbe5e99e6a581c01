#include "../common/dispatch.h"

namespace graphkern {

// dense: [B, length, features]; at_winners, arg: [B, N, features]. Positions are -1 or in [0, length).
struct WinnersArgs {
  int64_t value_bytes;
  bool is_64bit;
  const void* arg;
  int64_t num_rows, length, features;
};
// dense[arg] = at_winners, or at_winners = dense[arg] (0 where arg is -1), rows [begin, end) of a batch. Returns
// whether all positions were in range; those that are not are passed over.
GK_DECLARE_KERNEL(
    bool, put_winner_rows, const WinnersArgs&, const void* at_winners, void* dense, int64_t batch, int64_t begin,
    int64_t end)
GK_DECLARE_KERNEL(
    bool, take_winner_rows, const WinnersArgs&, const void* dense, void* at_winners, int64_t batch, int64_t begin,
    int64_t end)

namespace GK_ISA {
namespace {

// Calls f(place in at_winners, place in dense or -1) for each feature of the rows.
template <typename I, typename F>
inline bool walk(const WinnersArgs& a, int64_t batch, int64_t begin, int64_t end, const F& f) {
  bool good = true;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t first = (batch * a.num_rows + row) * a.features;
    const I* arg = static_cast<const I*>(a.arg) + first;
    for (int64_t feature = 0; feature < a.features; ++feature) {
      const int64_t position = arg[feature];
      good &= position >= -1 && position < a.length;
      const bool inside = position >= 0 && position < a.length;
      f(first + feature, inside ? (batch * a.length + position) * a.features + feature : -1);
    }
  }
  return good;
}

// Values are only moved: integers of their width stand for them.
template <typename F>
void dispatch(const WinnersArgs& a, const F& f) {
  dispatch_index(a.is_64bit, [&](auto i) {
    if (a.value_bytes == 2) return f(Tag<uint16_t>{}, i);
    if (a.value_bytes == 4) return f(Tag<uint32_t>{}, i);
    f(Tag<uint64_t>{}, i);
  });
}

}  // namespace

bool put_winner_rows(
    const WinnersArgs& a, const void* at_winners, void* dense, int64_t batch, int64_t begin, int64_t end) {
  bool good = true;
  dispatch(a, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    const T* from = static_cast<const T*>(at_winners);
    T* to = static_cast<T*>(dense);
    good = walk<typename decltype(i)::type>(a, batch, begin, end, [&](int64_t place, int64_t position) {
      if (position >= 0) to[position] = from[place];
    });
  });
  return good;
}

bool take_winner_rows(
    const WinnersArgs& a, const void* dense, void* at_winners, int64_t batch, int64_t begin, int64_t end) {
  bool good = true;
  dispatch(a, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    const T* from = static_cast<const T*>(dense);
    T* to = static_cast<T*>(at_winners);
    good = walk<typename decltype(i)::type>(a, batch, begin, end, [&](int64_t place, int64_t position) {
      to[place] = position >= 0 ? from[position] : T(0);
    });
  });
  return good;
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/parallel.h"

namespace graphkern {
namespace {

// Calls walk(batch, begin, end) over all rows of all batches.
template <typename F>
void each_row(const Tensor& arg, const F& walk) {
  const int64_t num_rows = arg.size(1), features = arg.size(2), block = std::max<int64_t>(1, 16384 / features);
  const int64_t blocks = (num_rows + block - 1) / block;
  std::atomic<bool> good{true};
  parallel_tasks(arg.size(0) * blocks, useful_threads(arg.numel()), [&](int64_t task) {
    const int64_t begin = task % blocks * block;
    if (!walk(task / blocks, begin, std::min(begin + block, num_rows))) good = false;
  });
  STD_TORCH_CHECK(good, "a position in arg is out of range");
}

// value, arg: [B, N, K]. Returns [B, length, K]
Tensor put_winners(const Tensor& value, const Tensor& arg, int64_t length) {
  const Tensor values = as_contiguous(value), args = as_contiguous(arg);
  Tensor out = allocate({value.size(0), length, value.size(2)}, value.scalar_type());
  char* data = static_cast<char*>(out.mutable_data_ptr());
  constexpr int64_t kBlock = 1 << 18;
  const int64_t bytes = out.numel() * out.element_size();
  parallel_tasks((bytes + kBlock - 1) / kBlock, useful_threads(bytes / 16), [&](int64_t task) {
    std::fill_n(data + task * kBlock, std::min(kBlock, bytes - task * kBlock), 0);
  });
  if (arg.numel() == 0) return out;
  const WinnersArgs winners{
      int64_t(value.element_size()), is_64bit(arg), pointer(args), arg.size(1), length, arg.size(2)};
  const auto kernel = GK_KERNEL(put_winner_rows);
  each_row(arg, [&](int64_t batch, int64_t begin, int64_t end) {
    return kernel(winners, pointer(values), data, batch, begin, end);
  });
  return out;
}

// x: [B, L, K], arg: [B, N, K]. Returns [B, N, K]
Tensor take_winners(const Tensor& x, const Tensor& arg) {
  const Tensor values = as_contiguous(x), args = as_contiguous(arg);
  Tensor out = allocate({arg.size(0), arg.size(1), arg.size(2)}, x.scalar_type());
  if (arg.numel() == 0) return out;
  const WinnersArgs winners{
      int64_t(x.element_size()), is_64bit(arg), pointer(args), arg.size(1), x.size(1), arg.size(2)};
  const auto kernel = GK_KERNEL(take_winner_rows);
  void* data = out.mutable_data_ptr();
  each_row(arg, [&](int64_t batch, int64_t begin, int64_t end) {
    return kernel(winners, pointer(values), data, batch, begin, end);
  });
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("put_winners", TORCH_BOX(&graphkern::put_winners));
  m.impl("take_winners", TORCH_BOX(&graphkern::take_winners));
}
#endif
