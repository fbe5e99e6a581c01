// Philox4x32-10 (Salmon et al. 2011) for one counter a lane: random words as a pure function of a counter and a key.
#pragma once

#include "vec.h"

namespace graphkern::GK_ISA {

// Lanes of 64 bits, of which the low 32 count.
using WordLanes = uint64_t __attribute__((vector_size(kVectorBytes)));
constexpr int kWordLanes = kVectorBytes / 8;

// The products of the low 32 bits.
inline WordLanes multiply_words(WordLanes a, uint32_t b) {
#if defined(__AVX512F__)
  return (WordLanes)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined(__AVX2__)
  return (WordLanes)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#else
  return (a & 0xFFFFFFFF) * uint64_t(b);
#endif
}

// c: counters, then words. key: 64 bits a lane
inline void philox_lanes(WordLanes (&c)[4], WordLanes key) {
  WordLanes k0 = key & 0xFFFFFFFF, k1 = key >> 32;
  for (int round = 0; round < 10; ++round) {
    const WordLanes p0 = multiply_words(c[0], 0xD2511F53), p1 = multiply_words(c[2], 0xCD9E8D57);
    c[0] = (p1 >> 32) ^ c[1] ^ k0;
    c[1] = p1;
    c[2] = (p0 >> 32) ^ c[3] ^ k1;
    c[3] = p0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
}

}  // namespace graphkern::GK_ISA
