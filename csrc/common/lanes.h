// Lanes of a register by their number.
#pragma once

#include <type_traits>

#include "vec.h"

namespace graphkern::GK_ISA {

// Integers as wide as the accumulators of values; comparing registers of A gives registers of them.
template <typename A>
using Offset = std::conditional_t<sizeof(A) == 8, int64_t, int32_t>;

template <typename A, int... kLane>
inline Vec<Offset<A>> lane_numbers(std::integer_sequence<int, kLane...>) {
  return Vec<Offset<A>>{kLane...};
}
template <typename A>
inline Vec<Offset<A>> lane_numbers() {
  return lane_numbers<A>(std::make_integer_sequence<int, kLanes<A>>{});
}

// The first n lanes; the others are 0.
template <typename A>
inline Vec<A> keep_first(Vec<A> v, int n) {
  return lane_numbers<A>() < (Vec<Offset<A>>{} + Offset<A>(n)) ? v : Vec<A>{};
}

}  // namespace graphkern::GK_ISA
