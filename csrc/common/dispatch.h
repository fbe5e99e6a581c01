// From a dtype known at run time to template arguments. Plain values only, so that kernels can use it.
#pragma once

#include "vec.h"

namespace graphkern {

enum class Value : int { f32, f64, f16, bf16 };

}  // namespace graphkern

namespace graphkern::GK_ISA {

template <typename T>
struct Tag {
  using type = T;
};

template <typename F>
inline void dispatch_value(Value value, const F& f) {
  switch (value) {
    case Value::f32:
      return f(Tag<float>{});
    case Value::f64:
      return f(Tag<double>{});
    case Value::f16:
      return f(Tag<Half>{});
    case Value::bf16:
      return f(Tag<BFloat16>{});
  }
}

// Of a type that sums are kept in.
template <typename F>
inline void dispatch_accumulate(bool is_double, const F& f) {
  if (is_double) {
    f(Tag<double>{});
  } else {
    f(Tag<float>{});
  }
}

template <typename F>
inline void dispatch_index(bool is_64bit, const F& f) {
  if (is_64bit) {
    f(Tag<int64_t>{});
  } else {
    f(Tag<int32_t>{});
  }
}

template <typename F>
inline void dispatch_value_index(Value value, bool is_64bit, const F& f) {
  dispatch_value(value, [&](auto t) { dispatch_index(is_64bit, [&](auto i) { f(t, i); }); });
}

}  // namespace graphkern::GK_ISA
