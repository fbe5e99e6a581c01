// Philox4x32-10 (Salmon et al. 2011): random words as a pure function of a counter and a seed, on the host and on the
// device.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define GK_HOST_DEVICE __host__ __device__
#else
#define GK_HOST_DEVICE
#endif

namespace graphkern {

struct Words {
  uint32_t w[4];
};

GK_HOST_DEVICE inline Words philox(Words c, uint64_t seed) {
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t(0xD2511F53) * c.w[0], p1 = uint64_t(0xCD9E8D57) * c.w[2];
    c = {{uint32_t(p1 >> 32) ^ c.w[1] ^ k0, uint32_t(p1), uint32_t(p0 >> 32) ^ c.w[3] ^ k1, uint32_t(p0)}};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

// The draws of one node at one hop: draw j is the word of lane j % 4 at counter
// (j / 4, hop + 2^16 * attempt, node low, node high); attempt counts rejections.
class Draws {
 public:
  GK_HOST_DEVICE Draws(uint64_t node, uint32_t hop, uint64_t seed) : node_(node), seed_(seed), hop_(hop) {}

  // Uniform in [0, bound), 1 <= bound < 2^32: Lemire's multiply and reject.
  GK_HOST_DEVICE uint32_t bounded(uint32_t draw, uint32_t bound) {
    uint64_t product = uint64_t(word(draw)) * bound;
    if (uint32_t(product) < bound) {
      const uint32_t threshold = (0u - bound) % bound;
      for (uint32_t attempt = 1; uint32_t(product) < threshold; ++attempt) {
        product = uint64_t(block(draw / 4, attempt).w[draw % 4]) * bound;
      }
    }
    return uint32_t(product >> 32);
  }

 private:
  GK_HOST_DEVICE Words block(uint32_t index, uint32_t attempt) const {
    return philox({{index, hop_ + (attempt << 16), uint32_t(node_), uint32_t(node_ >> 32)}}, seed_);
  }
  GK_HOST_DEVICE uint32_t word(uint32_t draw) {
    if (draw / 4 != cached_) {
      cached_ = draw / 4;
      words_ = block(cached_, 0);
    }
    return words_.w[draw % 4];
  }

  uint64_t node_, seed_;
  uint32_t hop_, cached_ = ~0u;
  Words words_{};
};

}  // namespace graphkern
