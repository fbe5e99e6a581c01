#include "spmm_extremum_cpu.h"

namespace graphkern {

// Columns [col_begin, col_end) of the gradient of x, features [first, first + width): sum [columns, stride] in the
// accumulation type, overwritten.
GK_DECLARE_KERNEL(
    void, extremum_grad_x_block, const ExtremumArgs&, int64_t first, int width, int64_t col_begin, int64_t col_end,
    void* sum, int64_t stride)
GK_DECLARE_KERNEL(void, extremum_grad_weight_rows, const ExtremumArgs&, int64_t row_begin, int64_t row_end)

namespace GK_ISA {
namespace {

// Each row sends its gradient to the winners, in the order of rows: N F additions, however many edges there are.
template <typename T, typename I>
void grad_x_block(
    const ExtremumArgs& a, int64_t first, int width, int64_t col_begin, int64_t col_end, Accumulate<T>* sum,
    int64_t stride) {
  using A = Accumulate<T>;
  const I* indices = static_cast<const I*>(a.indices);
  const T* weight = static_cast<const T*>(a.weight);
  const int64_t depth = a.features / a.heads;
  for (int64_t column = 0; column < col_end - col_begin; ++column) {
    for (int f = 0; f < width; ++f) sum[column * stride + f] = 0;
  }
  const T* grads = static_cast<const T*>(a.grad) + first;
  const I* args = static_cast<const I*>(a.arg) + first;
  // Calls f(feature, winning edge, where its gradient goes) for the features of a row whose winner is in the range.
  const auto winners = [&](int64_t row, const auto& f) {
    const I* arg = args + row * a.features;
    for (int i = 0; i < width; ++i) {
      if (arg[i] < 0) break;  // a row without edges
      const int64_t column = indices[arg[i]];
      if (column >= col_begin && column < col_end) f(i, int64_t(arg[i]), sum + (column - col_begin) * stride + i);
    }
  };
  constexpr int64_t kTargetsAhead = 4, kRowsAhead = 16;
  for (int64_t row = 0; row < a.num_rows; ++row) {
    if (row + kRowsAhead < a.num_rows) {
      prefetch(args + (row + kRowsAhead) * a.features, width * sizeof(I));
      prefetch(grads + (row + kRowsAhead) * a.features, width * sizeof(T));
    }
    if (row + kTargetsAhead < a.num_rows) {
      winners(row + kTargetsAhead, [](int, int64_t, A* target) __attribute__((always_inline)) {
        __builtin_prefetch(target);
      });
    }
    winners(row, [&](int i, int64_t edge, A* target) {
      const A w = weight ? to_accumulate(weight[edge * a.heads + (first + i) / depth]) : A(1);
      *target += to_accumulate(grads[row * a.features + i]) * w;
    });
  }
}

template <typename T, typename I>
void grad_weight_rows(const ExtremumArgs& a, int64_t row_begin, int64_t row_end) {
  using A = Accumulate<T>;
  const I* indptr = static_cast<const I*>(a.indptr);
  const I* indices = static_cast<const I*>(a.indices);
  const int64_t depth = a.features / a.heads, last = indptr[row_end];
  for (int64_t row = row_begin; row < row_end; ++row) {
    const T* grad = static_cast<const T*>(a.grad) + row * a.features;
    const I* arg = static_cast<const I*>(a.arg) + row * a.features;
    for (int64_t e = indptr[row]; e < indptr[row + 1]; ++e) {
      const T* x = static_cast<const T*>(a.x);
      if (e + kPrefetchDistance < last) {
        prefetch(x + int64_t(indices[e + kPrefetchDistance]) * a.features, a.features * sizeof(T));
      }
      x += int64_t(indices[e]) * a.features;
      for (int64_t head = 0; head < a.heads; ++head) {
        A sum = 0;
        for (int64_t f = head * depth; f < (head + 1) * depth; ++f) {
          sum += arg[f] == I(e) ? to_accumulate(grad[f]) * to_accumulate(x[f]) : A(0);
        }
        from_accumulate(sum, static_cast<T*>(a.out) + e * a.heads + head);
      }
    }
  }
}

}  // namespace

void extremum_grad_x_block(
    const ExtremumArgs& a, int64_t first, int width, int64_t col_begin, int64_t col_end, void* sum, int64_t stride) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    grad_x_block<T, typename decltype(i)::type>(
        a, first, width, col_begin, col_end, static_cast<Accumulate<T>*>(sum), stride);
  });
}

void extremum_grad_weight_rows(const ExtremumArgs& a, int64_t row_begin, int64_t row_end) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    grad_weight_rows<typename decltype(t)::type, typename decltype(i)::type>(a, row_begin, row_end);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/convert.h"
#include "../common/parallel.h"

namespace graphkern {
namespace {

// grad, arg: [N, F], weight: [E, H]. Returns [M, F]. A task owns a cache line of features in a range of columns, so no
// two tasks write to one place.
Tensor spmm_extremum_grad_x(
    const Tensor& indptr, const Tensor& indices, const Tensor& t_indptr, const Tensor&, const Tensor&,
    const Tensor& grad, const Tensor& arg, const std::optional<Tensor>& weight) {
  const Tensor grads = as_contiguous(grad), winners = as_contiguous(arg);
  const std::optional<Tensor> weights = as_contiguous(weight);
  const int64_t num_cols = t_indptr.size(0) - 1, features = grad.size(1);
  Tensor out = allocate({num_cols, features}, grad.scalar_type());
  const ExtremumArgs args{
      .value = value_of(grad),
      .is_64bit = is_64bit(indptr),
      .largest = false,
      .indptr = pointer(indptr),
      .indices = pointer(indices),
      .x = nullptr,
      .weight = pointer(weights),
      .grad = pointer(grads),
      .out = out.mutable_data_ptr(),
      .arg = const_cast<void*>(pointer(winners)),
      .features = features,
      .heads = weight ? weight->size(1) : 1,
      .num_rows = indptr.size(0) - 1};
  const auto block = GK_KERNEL(extremum_grad_x_block);
  const auto round = GK_KERNEL(narrow);
  const int64_t bytes = accumulate_bytes(grad), width = 64 / bytes, blocks = (features + width - 1) / width;
  const int64_t threads = useful_threads((args.num_rows + num_cols) * features);
  const int64_t ranges = blocks ? (threads + blocks - 1) / blocks : 1, step = (num_cols + ranges - 1) / ranges;
  const bool rounds = args.value == Value::f16 || args.value == Value::bf16;
  parallel_tasks(blocks * ranges, threads, [&](int64_t task) {
    const int64_t first = task % blocks * width, count = std::min(width, features - first);
    const int64_t begin = std::min(task / blocks * step, num_cols), end = std::min(begin + step, num_cols);
    char* target = static_cast<char*>(args.out) + (begin * features + first) * grad.element_size();
    if (!rounds) return block(args, first, int(count), begin, end, target, features);
    std::vector<float> sum((end - begin) * count);
    block(args, first, int(count), begin, end, sum.data(), count);
    for (int64_t column = 0; column < end - begin; ++column) {
      round(args.value, sum.data() + column * count, target + column * features * grad.element_size(), count);
    }
  });
  return out;
}

// grad, arg: [N, F], x: [M, F]. Returns [E, heads]
Tensor spmm_extremum_grad_weight(
    const Tensor& indptr, const Tensor& indices, const Tensor&, const Tensor&, const Tensor&, const Tensor& grad,
    const Tensor& arg, const Tensor& x, int64_t heads) {
  const Tensor grads = as_contiguous(grad), winners = as_contiguous(arg);
  const Tensor features = as_contiguous(x);
  Tensor out = allocate({indices.size(0), heads}, x.scalar_type());
  const ExtremumArgs args{
      .value = value_of(x),
      .is_64bit = is_64bit(indptr),
      .largest = false,
      .indptr = pointer(indptr),
      .indices = pointer(indices),
      .x = pointer(features),
      .weight = nullptr,
      .grad = pointer(grads),
      .out = out.mutable_data_ptr(),
      .arg = const_cast<void*>(pointer(winners)),
      .features = x.size(1),
      .heads = heads,
      .num_rows = indptr.size(0) - 1};
  const auto kernel = GK_KERNEL(extremum_grad_weight_rows);
  parallel_rows(indptr, x.size(1), [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("spmm_extremum_grad_x", TORCH_BOX(&graphkern::spmm_extremum_grad_x));
  m.impl("spmm_extremum_grad_weight", TORCH_BOX(&graphkern::spmm_extremum_grad_weight));
}
#endif
