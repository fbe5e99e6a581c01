// Unbiased bounded integers from random words that are drawn many at a time. The bits are those of `bounded` in
// ops/sample_neighbors/reference.py.
#pragma once

#include "random_lanes.h"

namespace graphkern::GK_ISA {

// words[lane][i] at counter (first[i], attempt[i], number[i]) for i < count, rounded up to whole registers.
template <int kSize>
inline void draw_blocks(
    const uint64_t (&first)[kSize], const uint64_t (&attempt)[kSize], const uint64_t (&number)[kSize], int count,
    uint64_t seed, uint64_t (&words)[4][kSize]) {
  static_assert(kSize % kWordLanes == 0);
  for (int i = 0; i < count; i += kWordLanes) {
    WordLanes c[4];
    std::memcpy(&c[0], first + i, sizeof(c[0]));
    std::memcpy(&c[1], attempt + i, sizeof(c[1]));
    std::memcpy(&c[2], number + i, sizeof(c[2]));
    c[3] = c[2] >> 32;
    philox_lanes(c, WordLanes{} + seed);
    for (int lane = 0; lane < 4; ++lane) {
      c[lane] &= 0xFFFFFFFF;
      std::memcpy(&words[lane][i], &c[lane], sizeof(c[lane]));
    }
  }
}

// The four words at one counter.
struct OneDraw {
  uint64_t word[4];

  OneDraw(uint64_t first, uint64_t attempt, uint64_t number, uint64_t seed) {
    WordLanes c[4] = {WordLanes{} + first, WordLanes{} + attempt, WordLanes{} + number, WordLanes{} + (number >> 32)};
    philox_lanes(c, WordLanes{} + seed);
    for (int lane = 0; lane < 4; ++lane) word[lane] = c[lane][0] & 0xFFFFFFFF;
  }
};

// Whether word * bound is one of the few products that Lemire's method rejects.
inline bool is_rejected(uint64_t product, uint32_t bound) {
  return __builtin_expect(uint32_t(product) < bound, 0) && uint32_t(product) < (0u - bound) % bound;
}

// Uniform in [0, bound), 0 for bound 0: draw number `draw` of `number`, whose word at the first attempt is given: lane
// draw % 4 at counter (draw / 4, stream, number).
inline uint32_t bounded(
    uint64_t word, uint32_t bound, uint64_t draw, uint64_t number, uint64_t seed, uint32_t stream = 0) {
  uint64_t product = word * bound;
  for (uint64_t attempt = 1; is_rejected(product, bound); ++attempt) {
    product = OneDraw(draw / 4, stream + (attempt << 16), number, seed).word[draw % 4] * bound;
  }
  return uint32_t(product >> 32);
}

}  // namespace graphkern::GK_ISA
