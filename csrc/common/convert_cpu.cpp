#include "convert.h"

namespace graphkern::GK_ISA {

void widen(Value value, const void* from, void* to, int64_t size, double scale) {
  dispatch_value(value, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulate<T>;
    const T* source = static_cast<const T*>(from);
    A* target = static_cast<A*>(to);
    int64_t i = 0;
    for (; i + kLanes<A> <= size; i += kLanes<A>) store(load(source + i) * A(scale), target + i);
    for (; i < size; ++i) target[i] = to_accumulate(source[i]) * A(scale);
  });
}

void narrow(Value value, const void* from, void* to, int64_t size) {
  dispatch_value(value, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulate<T>;
    const A* source = static_cast<const A*>(from);
    T* target = static_cast<T*>(to);
    int64_t i = 0;
    for (; i + kLanes<A> <= size; i += kLanes<A>) store(load(source + i), target + i);
    for (; i < size; ++i) from_accumulate(source[i], target + i);
  });
}

}  // namespace graphkern::GK_ISA
