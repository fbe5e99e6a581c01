// Maxima and minima with the position that gave them: NaN beats all but an earlier NaN, the first of equals stays.
#pragma once

#include "lanes.h"

namespace graphkern::GK_ISA {

// Whether a value takes the place of the best so far. V: a number or a register.
template <bool kLargest, typename V>
inline auto beats(V value, V best) {
  const auto better = kLargest ? value > best : value < best;
  return better | ((value != value) & (best == best));
}

// Whether a value met at position `at` takes the place of the best so far, which was met at `best_at`.
template <bool kLargest, typename A>
inline bool comes_first(A value, int64_t at, A best, int64_t best_at) {
  if (beats<kLargest>(value, best)) return true;
  return !beats<kLargest>(best, value) && at < best_at;
}

}  // namespace graphkern::GK_ISA
