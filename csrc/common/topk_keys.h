// Scores and their columns as single unsigned numbers: the larger, the earlier listed. Selection and sorting of them.
#pragma once

#include "dispatch.h"

namespace graphkern {

// The k best keys of each row, out of num_keys, as scores [num_rows, k] of a type and columns [num_rows, k]. Overwrites
// keys and `rest`, which has room for num_keys of them.
GK_DECLARE_KERNEL(
    void, list_keys, bool is_double, void* keys, void* rest, int64_t num_rows, int64_t num_keys, int64_t k, Value value,
    void* scores, int64_t* columns)

}  // namespace graphkern

namespace graphkern::GK_ISA {

template <typename A>
using Bits = std::conditional_t<sizeof(A) == 8, uint64_t, uint32_t>;
// The score above, the complement of its column below: of equal scores the lower column is larger. 0 is no key.
template <typename A>
using Key = std::conditional_t<sizeof(A) == 8, unsigned __int128, uint64_t>;
template <typename A>
constexpr int kBits = 8 * sizeof(A);

template <typename A>
inline Key<A> key_of(A score, Bits<A> column) {
  const Bits<A> bits = bit_cast<Bits<A>>(score + A(0));  // -0 becomes 0
  const Bits<A> flip = (Bits<A>(0) - (bits >> (kBits<A> - 1))) | Bits<A>(1) << (kBits<A> - 1);
  return Key<A>(bits ^ flip) << kBits<A> | Bits<A>(~column);
}
template <typename A>
inline A score_of(Key<A> key) {
  const Bits<A> bits = Bits<A>(key >> kBits<A>), top = Bits<A>(1) << (kBits<A> - 1);
  return bit_cast<A>(bits & top ? bits ^ top : Bits<A>(~bits));
}
template <typename A>
inline Bits<A> column_of(Key<A> key) {
  return ~Bits<A>(key);
}

constexpr int64_t kInsertionSize = 12;

template <typename K>
inline void insertion_sort(K* keys, int64_t size) {
  for (int64_t i = 1; i < size; ++i) {
    const K key = keys[i];
    int64_t at = i;
    for (; at > 0 && keys[at - 1] < key; --at) keys[at] = keys[at - 1];
    keys[at] = key;
  }
}

// Brings some of the keys, at least one and none below the others, to the front and returns how many; the others lie in
// `rest`. is_equal tells that those in front are all the same. Splits at the median of three keys from places that no
// order of the input favors.
template <typename K>
int64_t split(K* keys, int64_t size, K* rest, bool& is_equal) {
  const auto place = [&](uint64_t random) { return int64_t((unsigned __int128)random * size >> 64); };
  const uint64_t hash = uint64_t(size) * 0x9E3779B97F4A7C15;
  const K a = keys[place(hash)], b = keys[place(hash * 5)], c = keys[place(hash * 25)];
  const K low = a < b ? a : b, high = a < b ? b : a, pivot = c < low ? low : c > high ? high : c;
  int64_t front = 0;
  for (int64_t i = 0; i < size; ++i) {  // without a branch on the keys, and without loads from what was just stored
    const K key = keys[i];
    keys[front] = key;
    rest[i - front] = key;
    front += key > pivot;
  }
  is_equal = front == 0;
  if (!is_equal) return front;
  for (int64_t i = 0; i < size; ++i) {  // the pivot is the largest
    const K key = rest[i];
    keys[front] = key;
    rest[i - front] = key;
    front += key == pivot;
  }
  return front;
}

// Brings the k <= size largest keys to the front, in any order; the others are lost. rest: room for `size` keys
template <typename K>
void select_largest(K* keys, int64_t size, int64_t k, K* rest) {
  while (k > 0 && k < size) {
    if (size <= kInsertionSize) return insertion_sort(keys, size);
    bool is_equal;
    const int64_t front = split(keys, size, rest, is_equal);
    if (k <= front && is_equal) return;
    if (k <= front) {
      size = front;
    } else {
      keys += front;
      size -= front;
      k -= front;
      std::memcpy(keys, rest, size * sizeof(K));
    }
  }
}

// Brings the k <= size largest keys to the front, in falling order; the others are lost. rest: room for `size` keys
template <typename K>
void sort_largest(K* keys, int64_t size, int64_t k, K* rest) {
  while (size > kInsertionSize) {
    if (k <= 0) return;
    bool is_equal;
    const int64_t front = split(keys, size, rest, is_equal);
    std::memcpy(keys + front, rest, (k > front ? size - front : 0) * sizeof(K));
    if (!is_equal) sort_largest(keys, front, k < front ? k : front, rest);
    keys += front;
    size -= front;
    k -= front;
  }
  insertion_sort(keys, size);
}

}  // namespace graphkern::GK_ISA
