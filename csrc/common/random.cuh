// Philox4x32-10 (Salmon et al. 2011) and unbiased bounded integers for one thread. The bits are those of random_lanes.h
// and bounded_lanes.h.
#pragma once

#include "launch.cuh"

namespace graphkern::cuda {

// The four words at one counter.
struct RandomWords {
  uint32_t x, y, z, w;

  __device__ uint32_t operator[](uint32_t lane) const {
    return lane < 2 ? (lane == 0 ? x : y) : (lane == 2 ? z : w);  // stays in registers
  }
};

// At counter (first, second, number low, number high).
__device__ inline RandomWords random_words(uint32_t first, uint32_t second, uint64_t number, uint64_t key) {
  RandomWords c{first, second, uint32_t(number), uint32_t(number >> 32)};
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t(c.x) * 0xD2511F53u, p1 = uint64_t(c.z) * 0xCD9E8D57u;
    c = {uint32_t(p1 >> 32) ^ c.y ^ k0, uint32_t(p1), uint32_t(p0 >> 32) ^ c.w ^ k1, uint32_t(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// Whether word * bound is one of the few products that Lemire's method rejects.
__device__ inline bool is_rejected(uint64_t product, uint32_t bound) {
  return uint32_t(product) < bound && uint32_t(product) < (0u - bound) % bound;
}

// Uniform in [0, bound), 0 for bound 0: draw number `draw` of `number`, whose word at the first attempt is given: lane
// draw % 4 at counter (draw / 4, stream, number).
__device__ inline uint32_t bounded(
    uint32_t word, uint32_t bound, uint64_t draw, uint64_t number, uint64_t key, uint32_t stream = 0) {
  uint64_t product = uint64_t(word) * bound;
#pragma unroll 1
  for (uint32_t attempt = 1; is_rejected(product, bound); ++attempt) {
    product = uint64_t(random_words(uint32_t(draw / 4), stream + (attempt << 16), number, key)[draw % 4]) * bound;
  }
  return uint32_t(product >> 32);
}

}  // namespace graphkern::cuda
