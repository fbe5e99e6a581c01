#include "../common/pairs.h"

namespace graphkern {

// label, loss, slope: [B]; pairs [begin, end) of them
GK_DECLARE_KERNEL(
    void, bce_losses, const Pairs&, const void* label, void* loss, void* slope, int64_t begin, int64_t end)

namespace GK_ISA {

void bce_losses(const Pairs& p, const void* label, void* loss, void* slope, int64_t begin, int64_t end) {
  dispatch_scores<false>(p, begin, end, [&](auto t, int64_t b, int count, auto score) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const Logistic<A> of(score);
    const Vec<A> labels = load_some(static_cast<const A*>(label) + b, count);
    // softplus(s) - label * s; (1 - label) * s keeps what s - label * s would round away
    const Vec<A> share = score > 0 ? A(1) - labels : -labels;
    store_some<A>(of.tail + share * score, static_cast<T*>(loss) + b, count);
    store_some<A>(of.sigmoid - labels, static_cast<A*>(slope) + b, count);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
namespace graphkern {
namespace {

// user: [U, D], item: [I, D], u, i, label: [B]. Returns loss [B] and its derivative by the score [B]
std::tuple<Tensor, Tensor> bce_loss(
    const Tensor& user, const Tensor& item, const Tensor& u, const Tensor& i, const Tensor& label, bool) {
  STD_TORCH_CHECK(
      label.dim() == 1 && label.size(0) == u.size(0) && label.scalar_type() == accumulate_type(user),
      "label must be [B] in the dtype that sums are kept in");
  const Tensor labels = as_contiguous(label);
  const auto kernel = GK_KERNEL(bce_losses);
  return pair_losses(
      user, item, u, i, std::nullopt, [&](const Pairs& pairs, void* loss, void* slope, int64_t begin, int64_t end) {
        kernel(pairs, pointer(labels), loss, slope, begin, end);
      });
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("bce_loss", TORCH_BOX(&graphkern::bce_loss)); }
#endif
