// Entries grouped by the row that each of them names, the rows in order, the entries of a row in order.
#pragma once

#include "dispatch.h"

namespace graphkern {

// Group g is row(g) with entry(begin[g]) ... entry(begin[g + 1] - 1).
struct Groups {
  const uint64_t* words;  // row << shift | entry, sorted
  const int64_t* begin;   // [count + 1]
  int64_t count;
  int shift;

  int64_t row(int64_t group) const { return int64_t(words[begin[group]] >> shift); }
  int64_t entry(int64_t place) const { return int64_t(words[place] & ((uint64_t(1) << shift) - 1)); }
};

}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "matmul.h"
#include "parallel.h"

namespace graphkern {

// A stable radix sort, about 2 passes for each million of rows. Memory: 16 bytes an entry.
class RowGroups {
 public:
  // row(e): of entry e, in [0, num_rows)
  template <typename F>
  RowGroups(int64_t size, int64_t num_rows, const F& row) : first_((size + 1) * 8), second_((size + 1) * 8) {
    groups_.shift = bits(size);
    const int row_bits = bits(num_rows - 1);
    STD_TORCH_CHECK(groups_.shift + row_bits <= 64, size, " entries of ", num_rows, " rows are too many");
    uint64_t *words = first_.as<uint64_t>(), *other = second_.as<uint64_t>();
    for (int64_t e = 0; e < size; ++e) words[e] = uint64_t(row(e)) << groups_.shift | uint64_t(e);
    const int passes = (row_bits + kMaxDigit - 1) / kMaxDigit;
    const int digit = passes ? (row_bits + passes - 1) / passes : 0;
    for (int pass = 0; pass < passes; ++pass) {
      place(words, other, size, groups_.shift + pass * digit, digit);
      std::swap(words, other);
    }
    groups_.words = words;
    groups_.begin = reinterpret_cast<int64_t*>(other);
    groups_.count = bound(words, size, reinterpret_cast<int64_t*>(other));
  }

  const Groups& operator*() const { return groups_; }
  const Groups* operator->() const { return &groups_; }

  // Writes the row of each group.
  void rows(int64_t* out) const {
    for (int64_t group = 0; group < groups_.count; ++group) out[group] = groups_.row(group);
  }

  // The first group of chunk `chunk` of `chunks`, which have about the same number of entries.
  int64_t chunk_bound(int64_t chunk, int64_t chunks) const {
    if (chunk == chunks) return groups_.count;
    const int64_t wanted = groups_.begin[groups_.count] / chunks * chunk;
    return Segments::first_after(0, groups_.count, [&](int64_t g) { return groups_.begin[g] < wanted; });
  }

 private:
  static constexpr int kMaxDigit = 11;

  static int bits(int64_t value) { return value > 0 ? 64 - __builtin_clzll(uint64_t(value)) : 0; }

  // One pass: from words to other, sorted by `digit` bits from `shift` on.
  static void place(const uint64_t* words, uint64_t* other, int64_t size, int shift, int digit) {
    int64_t next[1 << kMaxDigit] = {};
    const uint64_t mask = (uint64_t(1) << digit) - 1;
    for (int64_t e = 0; e < size; ++e) ++next[words[e] >> shift & mask];
    int64_t total = 0;
    for (int64_t bin = 0; bin <= int64_t(mask); ++bin) total += std::exchange(next[bin], total);
    for (int64_t e = 0; e < size; ++e) other[next[words[e] >> shift & mask]++] = words[e];
  }

  // Where each row begins; returns how many there are.
  int64_t bound(const uint64_t* words, int64_t size, int64_t* begin) const {
    int64_t count = 0;
    for (int64_t k = 0; k < size; ++k) {
      begin[count] = k;
      count += k == 0 || words[k] >> groups_.shift != words[k - 1] >> groups_.shift;
    }
    begin[count] = size;
    return count;
  }

  Buffer first_, second_;
  Groups groups_;
};

}  // namespace graphkern
#endif
