// Random draws of the sampling kernels. Compiled without contraction of floating-point operations (see CMakeLists.txt):
// every machine gets the same bits.
#pragma once

#include "../common/bounded_lanes.h"
#include "sampling.h"

namespace graphkern::GK_ISA {

inline WordLanes load_words(const uint64_t* from) {
  WordLanes v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}

// Four words for each counter (index, stream, node): out [count * 4]; arrays are padded to whole registers.
inline void draw_words(
    const uint64_t* index, const uint64_t* node, const uint64_t* key, int64_t count, uint32_t stream, uint32_t* out) {
  for (int64_t i = 0; i < count; i += kWordLanes) {
    const WordLanes nodes = load_words(node + i);
    WordLanes c[4] = {load_words(index + i), WordLanes{} + uint64_t(stream), nodes, nodes >> 32};
    philox_lanes(c, load_words(key + i));
    const WordLanes low = (c[0] & 0xFFFFFFFF) | c[1] << 32, high = (c[2] & 0xFFFFFFFF) | c[3] << 32;
    for (int lane = 0; lane < kWordLanes; ++lane) {
      std::memcpy(out + 4 * (i + lane), &low[lane], 8);
      std::memcpy(out + 4 * (i + lane) + 2, &high[lane], 8);
    }
  }
}

// The draws of one row.
struct RowDraws {
  uint64_t node, key;
  uint32_t stream;

  // Words 4 * first, ... of the row, 4 * count of them rounded up to whole registers.
  void words(int64_t first, int64_t count, uint32_t* out) const {
    uint64_t index[kWordLanes], nodes[kWordLanes], keys[kWordLanes];
    for (int lane = 0; lane < kWordLanes; ++lane) nodes[lane] = node, keys[lane] = key;
    for (int64_t i = 0; i < count; i += kWordLanes) {
      for (int lane = 0; lane < kWordLanes; ++lane) index[lane] = uint64_t(first + i + lane);
      draw_words(index, nodes, keys, kWordLanes, stream, out + 4 * i);
    }
  }

  // Uniform in [0, bound), from the word of that draw.
  uint32_t bounded(uint32_t word, uint32_t draw, uint32_t bound) const {
    return GK_ISA::bounded(word, bound, draw, node, key, stream);
  }
};

// `count` different positions below `bound` > count, in drawing order: Floyd's subset sampling. One more element than
// before may be drawn each time, and a repeat stands for the new one. is_seen(value): whether it was drawn before;
// see(j, position) puts it there.
template <typename Q, typename P>
inline void draw_subset(
    const RowDraws& draws, const uint32_t* words, int64_t count, uint32_t bound, const Q& is_seen, const P& see) {
  for (int64_t j = 0; j < count; ++j) {
    const uint32_t last = uint32_t(bound - count + j), value = draws.bounded(words[j], uint32_t(j), last + 1);
    see(j, is_seen(value) ? last : value);
  }
}

using Positions = uint32_t __attribute__((vector_size(kVectorBytes)));
constexpr int kPositions = kVectorBytes / 4;

inline bool any(Positions mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
  const WordLanes lanes = (WordLanes)mask;
  return (lanes[0] | lanes[1]) != 0;
#endif
}

// The same with what was drawn in registers: from memory a register could be loaded only some time after a part of it
// was stored.
template <int kRegisters, int... kLane>
inline void draw_few(
    const RowDraws& draws, const uint32_t* words, int64_t count, uint32_t bound, uint32_t* positions,
    std::integer_sequence<int, kLane...>) {
  const Positions lane = {uint32_t(kLane)...};
  Positions seen[kRegisters];
#pragma GCC unroll 16
  for (int r = 0; r < kRegisters; ++r) seen[r] = ~Positions{};
  draw_subset(
      draws, words, count, bound,
      [&](uint32_t value) {
        Positions hit = {};
#pragma GCC unroll 16
        for (int r = 0; r < kRegisters; ++r) hit |= (Positions)(seen[r] == value);
        return any(hit);
      },
      [&](int64_t j, uint32_t position) {
        positions[j] = position;
#pragma GCC unroll 16
        for (int r = 0; r < kRegisters; ++r) {
          seen[r] = lane == uint32_t(j - r * kPositions) ? Positions{} + position : seen[r];
        }
      });
}
// count: at most kBlockFanout
template <int kRegisters = 1>
inline void draw_few(const RowDraws& draws, const uint32_t* words, int64_t count, uint32_t bound, uint32_t* positions) {
  if constexpr (kRegisters * kPositions < kBlockFanout) {
    if (count > kRegisters * kPositions) return draw_few<2 * kRegisters>(draws, words, count, bound, positions);
  }
  draw_few<kRegisters>(draws, words, count, bound, positions, std::make_integer_sequence<int, kPositions>{});
}

// -log2((word + 1) / 2^32) for a register of words: log2 m = 2 / ln 2 * atanh((m - 1) / (m + 1)), m in [sqrt(0.5),
// sqrt(2)).
inline Vec<double> exponential(const uint32_t* words) {
  using Bits = int64_t __attribute__((vector_size(kVectorBytes)));
  Vec<double> value;
  for (int lane = 0; lane < kLanes<double>; ++lane) value[lane] = double(words[lane]) + 1;
  const Bits bits = (Bits)value;
  Vec<double> mantissa = (Vec<double>)((bits & 0x000FFFFFFFFFFFFF) | 0x3FE0000000000000);
  const Bits low = mantissa < 0.70710678118654752;
  mantissa = low ? mantissa * 2 : mantissa;
  const Vec<double> exponent = __builtin_convertvector((bits >> 52) - 1022 + low, Vec<double>);
  const Vec<double> t = (mantissa - 1) / (mantissa + 1), t2 = t * t;
  Vec<double> series = Vec<double>{} + 1.0 / 13;
  series = series * t2 + 1.0 / 11;
  series = series * t2 + 1.0 / 9;
  series = series * t2 + 1.0 / 7;
  series = series * t2 + 1.0 / 5;
  series = series * t2 + 1.0 / 3;
  series = series * t2 + 1.0;
  return (32 - exponent) - series * t * 2.8853900817779268;
}

// The `size` least pairs (key, tie) offered; the greatest of them lies on top.
struct Least {
  struct Entry {
    int64_t key, tie;
    bool operator<(const Entry& other) const { return key < other.key || (key == other.key && tie < other.tie); }
  };
  Entry* heap;
  int64_t size, count = 0;

  void offer(Entry entry) {
    if (count < size) {
      int64_t at = count++;
      for (; at > 0 && heap[(at - 1) / 2] < entry; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
      heap[at] = entry;
    } else if (entry < heap[0]) {
      int64_t at = 0;
      for (int64_t child = 1; child < size; child = 2 * at + 1) {
        child += child + 1 < size && heap[child] < heap[child + 1];
        if (!(entry < heap[child])) break;
        heap[at] = heap[child];
        at = child;
      }
      heap[at] = entry;
    }
  }
};

}  // namespace graphkern::GK_ISA
