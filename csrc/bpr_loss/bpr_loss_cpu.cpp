#include "../common/pairs.h"

namespace graphkern {

// loss, slope: [B]; pairs [begin, end) of them
GK_DECLARE_KERNEL(void, bpr_losses, const Pairs&, void* loss, void* slope, int64_t begin, int64_t end)

namespace GK_ISA {

void bpr_losses(const Pairs& p, void* loss, void* slope, int64_t begin, int64_t end) {
  dispatch_scores<true>(p, begin, end, [&](auto t, int64_t b, int count, auto score) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const Logistic<A> of(-score);
    store_some<A>(of.tail + (score < 0 ? -score : Vec<A>{}), static_cast<T*>(loss) + b, count);
    store_some<A>(-of.sigmoid, static_cast<A*>(slope) + b, count);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
namespace graphkern {
namespace {

// user: [U, D], item: [I, D], u, i, j: [B]. Returns loss [B] and its derivative by the score difference [B]
std::tuple<Tensor, Tensor> bpr_loss(
    const Tensor& user, const Tensor& item, const Tensor& u, const Tensor& i, const Tensor& j, bool) {
  return pair_losses(user, item, u, i, j, GK_KERNEL(bpr_losses));
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("bpr_loss", TORCH_BOX(&graphkern::bpr_loss)); }
#endif
