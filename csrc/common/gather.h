// Rows that an index names, from a table or from a cache of some of its rows. They are only copied: bytes.
#pragma once

#include "rows.h"

namespace graphkern {

struct GatherArgs {
  bool is_64bit;
  const void* index;    // [n], each in [0, num_rows)
  const char *x, *hot;  // [num_rows, row_bytes], [num_hot, row_bytes]; there is at least one row of x
  const int32_t* slot;  // [num_rows] rows of hot, negative where the row of x is not there; null: nowhere
  int64_t num_rows, num_hot, row_bytes;
};

namespace GK_ISA {

// kBytes: of a row, 0 where it is not a common number.
template <int64_t kBytes, typename I>
bool copy_rows(const GatherArgs& a, char* out, int64_t begin, int64_t end) {
  const int64_t bytes = kBytes > 0 ? kBytes : a.row_bytes;
  const I* index = static_cast<const I*>(a.index);
  const auto find = [&](int64_t e) -> const char* {  // null where it is out of range
    const int64_t row = index[e];
    if (uint64_t(row) >= uint64_t(a.num_rows)) return nullptr;
    const int64_t place = a.slot ? a.slot[row] : -1;
    if (place < 0) return a.x + row * bytes;
    return place < a.num_hot ? a.hot + place * bytes : nullptr;
  };
  bool good = true;
  for (int64_t e = begin; e < end; ++e) {
    if (a.slot && e + 2 * kPrefetchDistance < end) {
      const int64_t ahead = index[e + 2 * kPrefetchDistance];
      if (uint64_t(ahead) < uint64_t(a.num_rows)) prefetch(a.slot + ahead, sizeof(int32_t));
    }
    if (e + kPrefetchDistance < end) {
      if (const char* ahead = find(e + kPrefetchDistance)) prefetch(ahead, bytes);
    }
    const char* from = find(e);
    good &= from != nullptr;
    std::memcpy(out + e * bytes, from ? from : a.x, bytes);
  }
  return good;
}

// Entries [begin, end) of out [n, row_bytes]. Returns whether every index and slot was in range; the first row of x
// stands for those that are not.
inline bool copy_rows(const GatherArgs& a, char* out, int64_t begin, int64_t end) {
  const auto copy = [&](auto bytes) {
    return a.is_64bit ? copy_rows<bytes(), int64_t>(a, out, begin, end)
                      : copy_rows<bytes(), int32_t>(a, out, begin, end);
  };
  switch (a.row_bytes) {
    case 4:
      return copy(std::integral_constant<int64_t, 4>{});
    case 8:
      return copy(std::integral_constant<int64_t, 8>{});
    case 16:
      return copy(std::integral_constant<int64_t, 16>{});
    case 32:
      return copy(std::integral_constant<int64_t, 32>{});
    case 64:
      return copy(std::integral_constant<int64_t, 64>{});
    case 128:
      return copy(std::integral_constant<int64_t, 128>{});
    case 256:
      return copy(std::integral_constant<int64_t, 256>{});
    default:
      return copy(std::integral_constant<int64_t, 0>{});
  }
}

}  // namespace GK_ISA
}  // namespace graphkern
