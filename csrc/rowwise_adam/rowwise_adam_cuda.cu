#include "../common/cuda.h"
#include "rowwise_adam_kernels.cuh"

namespace {

using namespace graphkern::cuda;

struct Options {
  double step_size, beta1, beta2, eps;
  bool maximize;
};

// Whether rows [n] ascend, each named once, as those of a coalesced gradient: asking waits for the device, which takes
// less than sorting them each time.
bool ascend(Call& call, const int64_t* rows, int64_t count) {
  const int64_t tiles = (count + kScanTile - 1) / kScanTile;
  auto* sums = static_cast<int*>(call.workspace(tiles * int64_t(sizeof(int))));
  launch_blocks(call.stream(), tiles, kBlock, 0, tile_sums<Descends, int>, Descends{rows}, count, tiles, sums);
  for (const int sum : call.to_host(sums, tiles)) {
    if (sum != 0) return false;
  }
  return true;
}

// param, exp_avg (or none), exp_avg_sq: [N, ...], written in place; indices: [1, n] int64, inside; values: [n, ...]
void update(
    const Tensor& param, const std::optional<Tensor>& exp_avg, const Tensor& exp_avg_sq, const Tensor& indices,
    const Tensor& values, const Options& options) {
  Call call(param);
  const int64_t num_rows = param.size(0), count = indices.size(1);
  for (const Tensor& t : {param, exp_avg.value_or(param), exp_avg_sq}) {
    STD_TORCH_CHECK(
        t.is_contiguous() && t.numel() == param.numel() && t.scalar_type() == param.scalar_type(),
        "param and its state must be contiguous, of one shape and dtype");
  }
  dispatch_value(param, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    call.read<T>(exp_avg);  // refuses another device
    call.read<T>(exp_avg_sq);
    const RowUpdate<T> row{
        write<T>(param),
        exp_avg ? write<T>(*exp_avg) : nullptr,
        write<T>(exp_avg_sq),
        call.read<int64_t>(indices),
        call.read<T>(values),
        num_rows > 0 ? param.numel() / num_rows : 0,
        A(options.step_size),
        A(1 - options.beta1),
        A(1 - options.beta2),
        A(options.eps),
        options.maximize ? A(-1) : A(1)};
    update_table(call.stream(), row, count, num_rows, ascend(call, row.rows, count), [&](int64_t bytes) {
      return call.workspace(bytes);
    });
  });
  Call::check_launch();
}

void rowwise_adam_cuda(
    Tensor param, Tensor exp_avg, Tensor exp_avg_sq, Tensor indices, Tensor values, double step_size, double beta1,
    double beta2, double eps, bool maximize) {
  update(param, exp_avg, exp_avg_sq, indices, values, {step_size, beta1, beta2, eps, maximize});
}

void rowwise_adagrad_cuda(
    Tensor param, Tensor sum, Tensor indices, Tensor values, double step_size, double eps, bool maximize) {
  update(param, std::nullopt, sum, indices, values, {step_size, 0, 0, eps, maximize});
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) {
  m.impl("rowwise_adam", TORCH_BOX(&rowwise_adam_cuda));
  m.impl("rowwise_adagrad", TORCH_BOX(&rowwise_adagrad_cuda));
}
