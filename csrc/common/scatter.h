// Entries that an unsorted index sends to rows: how the scatter kernels walk them.
#pragma once

#include "dispatch.h"

namespace graphkern {

// One batch. Rows mode: index: [length], entry l is the row src[l] of `features` values and goes to row index[l] of
// [num_rows, features]. Elements mode: index: [length, features], entry l * features + k is one value and goes to row
// index[l, k] * features + k of [num_rows * features, 1].
struct ScatterArgs {
  Value value;
  bool is_64bit, elements;
  const void *index, *src;
  int64_t num_rows, length, features;

  int64_t entries() const { return elements ? length * features : length; }
  int64_t rows() const { return elements ? num_rows * features : num_rows; }
  int64_t width() const { return elements ? 1 : features; }
};

struct Range {
  int64_t begin, end;
};

namespace GK_ISA {

constexpr int kPicked = 1024;

// Some of the entries from `first` on, in order, with their rows counted from the start of a range.
struct Picked {
  int64_t first;
  int count;
  int32_t entry[kPicked];
  int64_t row[kPicked];
};

// Calls f(picked) until all of the entries have been seen that go to the rows in range. Returns whether every index
// was in [0, num_rows); those that are not are passed over.
template <typename I, typename F>
inline bool pick(const ScatterArgs& a, Range entries, Range rows, const F& f) {
  const I* index = static_cast<const I*>(a.index);
  const uint64_t num_rows = a.num_rows, size = rows.end - rows.begin;
  const int64_t columns = a.elements ? a.features : 1;
  int64_t column = entries.begin % columns;
  bool good = true;
  Picked picked;
  for (int64_t first = entries.begin; first < entries.end; first += kPicked) {
    const int seen = int(entries.end - first < kPicked ? entries.end - first : kPicked);
    picked.first = first;
    int count = 0;
    for (int i = 0; i < seen; ++i) {
      const int64_t value = index[first + i];
      const bool inside = uint64_t(value) < num_rows;
      int64_t row = value - rows.begin;
      if (columns > 1) {
        row = int64_t(uint64_t(value) * columns) + column - rows.begin;
        column = column + 1 == columns ? 0 : column + 1;
      }
      picked.entry[count] = i;
      picked.row[count] = row;
      count += inside & (uint64_t(row) < size);
      good &= inside;
    }
    picked.count = count;
    f(picked);
  }
  return good;
}

// Calls f(width) with the width as a constant where it is a common one below a register, else as a number.
template <typename F>
inline void with_width(int64_t width, const F& f) {
  switch (width) {
    case 1:
      return f(std::integral_constant<int64_t, 1>{});
    case 2:
      return f(std::integral_constant<int64_t, 2>{});
    case 3:
      return f(std::integral_constant<int64_t, 3>{});
    case 4:
      return f(std::integral_constant<int64_t, 4>{});
    case 8:
      return f(std::integral_constant<int64_t, 8>{});
    default:
      return f(width);
  }
}

}  // namespace GK_ISA
}  // namespace graphkern
