#include "dispatch.h"

namespace graphkern {

GK_DECLARE_KERNEL(bool, ascends, const void* indptr, bool is_64bit, int64_t size)

namespace GK_ISA {

bool ascends(const void* indptr, bool is_64bit, int64_t size) {
  bool result = false;
  dispatch_index(is_64bit, [&](auto tag) {
    using I = typename decltype(tag)::type;
    const I* bounds = static_cast<const I*>(indptr);
    I descents = 0;
    for (int64_t i = 0; i + 1 < size; ++i) descents |= I(bounds[i + 1] < bounds[i]);
    result = descents == 0;
  });
  return result;
}

}  // namespace GK_ISA
}  // namespace graphkern
