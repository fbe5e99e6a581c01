// The columns of a row as a set.
#pragma once

#include "isa.h"

namespace graphkern {

// The columns that a row has, ascending, each once.
struct ColumnSet {
  const void* columns;
  int64_t size;
};

}  // namespace graphkern

#ifdef GK_LAUNCHER
#include <algorithm>
#include <vector>

namespace graphkern {

// As they are where they ascend, or in `sorted`.
template <typename I>
ColumnSet column_set(const I* columns, int64_t size, std::vector<I>& sorted) {
  const auto not_rising = [](I a, I b) { return a >= b; };
  if (std::adjacent_find(columns, columns + size, not_rising) == columns + size) return {columns, size};
  sorted.assign(columns, columns + size);
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  return {sorted.data(), int64_t(sorted.size())};
}

}  // namespace graphkern
#endif
