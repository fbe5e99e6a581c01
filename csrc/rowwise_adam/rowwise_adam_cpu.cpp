#include "rows.h"

namespace graphkern {

GK_DECLARE_KERNEL(void, adam_rows, const RowUpdate&, const Groups*, int64_t begin, int64_t end)
GK_DECLARE_KERNEL(void, adagrad_rows, const RowUpdate&, const Groups*, int64_t begin, int64_t end)

namespace GK_ISA {

void adam_rows(const RowUpdate& a, const Groups* groups, int64_t begin, int64_t end) {
  dispatch_value(a.value, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulate<T>;
    const A share1 = A(1 - a.beta1), share2 = A(1 - a.beta2), eps = A(a.eps), step_size = A(a.step_size);
    update_all<2, T>(a, groups, begin, end, [&](Vec<A> gradient, Vec<A>* held) {
      held[1] += (gradient - held[1]) * share1;
      held[2] += (gradient * gradient - held[2]) * share2;
      held[0] -= step_size * (held[1] / (sqrt(held[2]) + eps));
    });
  });
}

void adagrad_rows(const RowUpdate& a, const Groups* groups, int64_t begin, int64_t end) {
  dispatch_value(a.value, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulate<T>;
    const A eps = A(a.eps), step_size = A(a.step_size);
    update_all<1, T>(a, groups, begin, end, [&](Vec<A> gradient, Vec<A>* held) {
      held[1] += gradient * gradient;
      held[0] -= step_size * (gradient / (sqrt(held[1]) + eps));
    });
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
namespace graphkern {
namespace {

void rowwise_adam(
    const Tensor& param, const Tensor& exp_avg, const Tensor& exp_avg_sq, const Tensor& indices, const Tensor& values,
    double step_size, double beta1, double beta2, double eps, bool maximize) {
  const RowUpdate update{.step_size = step_size, .beta1 = beta1, .beta2 = beta2, .eps = eps, .maximize = maximize};
  update_table(update, param, {&exp_avg, &exp_avg_sq}, indices, values, GK_KERNEL(adam_rows));
}

void rowwise_adagrad(
    const Tensor& param, const Tensor& sum, const Tensor& indices, const Tensor& values, double step_size, double eps,
    bool maximize) {
  const RowUpdate update{.step_size = step_size, .eps = eps, .maximize = maximize};
  update_table(update, param, {&sum}, indices, values, GK_KERNEL(adagrad_rows));
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("rowwise_adam", TORCH_BOX(&graphkern::rowwise_adam));
  m.impl("rowwise_adagrad", TORCH_BOX(&graphkern::rowwise_adagrad));
}
#endif
