// Between a value type and the type that sums are kept in.
#pragma once

#include "dispatch.h"

namespace graphkern {

// to[i] = scale * from[i], in the accumulation type of `value`
GK_DECLARE_KERNEL(void, widen, Value value, const void* from, void* to, int64_t size, double scale)
// to[i] = from[i], rounded to nearest even
GK_DECLARE_KERNEL(void, narrow, Value value, const void* from, void* to, int64_t size)

}  // namespace graphkern
