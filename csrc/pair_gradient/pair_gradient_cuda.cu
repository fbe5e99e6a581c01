#include "../common/cuda.h"
#include "pair_gradient_kernels.cuh"

namespace {

using namespace graphkern::cuda;

PairIndex read_index(Call& call, const std::optional<Tensor>& index) {
  if (!index) return {nullptr, false};
  const bool is_64bit = index->scalar_type() == ScalarType::Long;
  return {is_64bit ? static_cast<const void*>(call.read<int64_t>(*index)) : call.read<int32_t>(*index), is_64bit};
}

// grad, slope: [B]; user: [U, D], item: [I, D]
struct PairTensors {
  Tensor grad, slope, user, item;
};

// The gradient of one table. Entries are grouped at once, so that both tables' groups are on their way before the
// number of one's is asked for.
template <typename Key, typename P>
class TableGradient {
 public:
  TableGradient(Call& call, const PairSide& side, int64_t batch, int64_t num_rows, bool has_other)
      : call_(call), side_(side), size_(side.of_items && has_other ? 2 * batch : batch) {
    groups_ =
        group_rows<Key, P>(call.stream(), side, size_, num_rows, [&](int64_t bytes) { return call_.workspace(bytes); });
  }

  // [U, D] or [I, D]
  Tensor dense(const PairTensors& p) {
    const Tensor& table = side_.of_items ? p.item : p.user;
    Tensor out = call_.allocate({table.size(0), table.size(1)}, table.scalar_type());
    torch::stable::zero_(out);
    sum(p, out, size_, false);
    return out;
  }

  // Rows named [1, n], ascending, and their gradients [n, D].
  std::tuple<Tensor, Tensor> rows(const PairTensors& p) {
    const int64_t count = size_ > 0 ? int64_t(call_.to_host(groups_.count, 1)[0]) : 0;
    Tensor rows = call_.allocate({1, count}, ScalarType::Long);
    Tensor values = call_.allocate({count, p.user.size(1)}, p.user.scalar_type());
    launch(call_.stream(), count, group_rows_of<Key, P>, groups_, count, write<int64_t>(rows));
    sum(p, values, count, true);
    return {rows, values};
  }

 private:
  void sum(const PairTensors& p, const Tensor& out, int64_t count, bool packed) {
    dispatch_value(p.user, [&](auto t) {
      using T = typename decltype(t)::type;
      const T *user = call_.read<T>(p.user), *item = call_.read<T>(p.item), *grad = call_.read<T>(p.grad);
      const auto* slope = call_.read<Accumulate<T>>(p.slope);
      const int64_t depth = p.user.size(1);
      T* to = write<T>(out);
      dispatch_width<T>(depth, is_aligned(user) && is_aligned(item) && is_aligned(to), [&](auto wide) {
        const PairGradientBody<T, Key, P, decltype(wide)::width> body{groups_.begin, groups_, side_, user,  item,
                                                                      grad,          slope,   to,    depth, packed};
        launch_reduction(
            call_.stream(), body, count, size_, depth, [&](int64_t bytes) { return call_.workspace(bytes); });
      });
    });
  }

  Call& call_;
  PairSide side_;
  int64_t size_;  // entries
  RowGroups<Key, P> groups_;
};

// Calls f(one side's TableGradient, the other's), each null where not needed.
template <typename F>
void run_pair_gradient(
    Call& call, const PairTensors& p, const Tensor& u, const Tensor& i, const std::optional<Tensor>& j, bool need_user,
    bool need_item, const F& f) {
  const int64_t batch = u.size(0), most = p.user.size(0) > p.item.size(0) ? p.user.size(0) : p.item.size(0);
  const PairSide side{read_index(call, u), read_index(call, i), read_index(call, j), false};
  dispatch_groups(2 * batch, most, [&](auto key, auto position) {
    using Gradient = TableGradient<decltype(key), decltype(position)>;
    std::optional<Gradient> user, item;
    PairSide of_items = side;
    of_items.of_items = true;
    if (need_user) user.emplace(call, side, batch, p.user.size(0), j.has_value());
    if (need_item) item.emplace(call, of_items, batch, p.item.size(0), j.has_value());
    f(user, item);
  });
  Call::check_launch();
}

// grad, slope, u, i, j: [B], user: [U, D], item: [I, D]. Returns the gradients [U, D] and [I, D], [0] where not needed.
std::tuple<Tensor, Tensor> pair_gradient_cuda(
    Tensor grad, Tensor slope, Tensor user, Tensor item, Tensor u, Tensor i, std::optional<Tensor> j, bool need_user,
    bool need_item) {
  Call call(user);
  Tensor grad_user = call.allocate({0}, user.scalar_type()), grad_item = call.allocate({0}, user.scalar_type());
  const PairTensors p{grad, slope, user, item};
  run_pair_gradient(call, p, u, i, j, need_user, need_item, [&](auto& of_user, auto& of_item) {
    if (of_user) grad_user = of_user->dense(p);
    if (of_item) grad_item = of_item->dense(p);
  });
  return {grad_user, grad_item};
}

// As above, only the rows that the batch names: their numbers [1, n], ascending, and the rows [n, D], of both tables.
std::tuple<Tensor, Tensor, Tensor, Tensor> pair_gradient_rows_cuda(
    Tensor grad, Tensor slope, Tensor user, Tensor item, Tensor u, Tensor i, std::optional<Tensor> j, bool need_user,
    bool need_item) {
  Call call(user);
  const auto nothing = [&] {
    return std::tuple(call.allocate({1, 0}, ScalarType::Long), call.allocate({0, user.size(1)}, user.scalar_type()));
  };
  auto [user_rows, user_values] = nothing();
  auto [item_rows, item_values] = nothing();
  const PairTensors p{grad, slope, user, item};
  run_pair_gradient(call, p, u, i, j, need_user, need_item, [&](auto& of_user, auto& of_item) {
    if (of_user) std::tie(user_rows, user_values) = of_user->rows(p);
    if (of_item) std::tie(item_rows, item_values) = of_item->rows(p);
  });
  return {user_rows, user_values, item_rows, item_values};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) {
  m.impl("pair_gradient", TORCH_BOX(&pair_gradient_cuda));
  m.impl("pair_gradient_rows", TORCH_BOX(&pair_gradient_rows_cuda));
}
