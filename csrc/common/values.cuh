// The value types of device code, how they convert to and from the type that sums are kept in, and vectors of them.
#pragma once

#ifndef __CUDACC__
#include "device_on_host.h"
#endif

#include <cstdint>

namespace graphkern::cuda {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

template <typename T>
struct AccumulateImpl {
  using type = float;
};
template <>
struct AccumulateImpl<double> {
  using type = double;
};
// The type that sums are kept in.
template <typename T>
using Accumulate = typename AccumulateImpl<T>::type;

template <typename To, typename From>
__host__ __device__ inline To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

__host__ __device__ inline float to_accumulate(float value) { return value; }
__host__ __device__ inline double to_accumulate(double value) { return value; }

__host__ __device__ inline float to_accumulate(BFloat16 value) { return bit_cast<float>(uint32_t(value.bits) << 16); }

__host__ __device__ inline float to_accumulate(Half value) {
#ifdef __CUDA_ARCH__
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#else
  const uint32_t sign = uint32_t(value.bits & 0x8000) << 16;
  const uint32_t magnitude = value.bits & 0x7fff;
  if (magnitude >= 0x7c00) return bit_cast<float>(sign | 0x7f800000 | (magnitude << 13));
  // Scaled by 2^-112 the exponent is right, and subnormals become normal.
  const float scaled = bit_cast<float>(magnitude << 13) * bit_cast<float>(uint32_t(0x77800000));
  return bit_cast<float>(sign | bit_cast<uint32_t>(scaled));
#endif
}

template <typename T>
struct FromAccumulate {
  __host__ __device__ static T convert(Accumulate<T> value) { return value; }
};

template <>
struct FromAccumulate<BFloat16> {
  __host__ __device__ static BFloat16 convert(float value) {
    const uint32_t bits = bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return BFloat16{0x7fc0};
    return BFloat16{uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
  }
};

template <>
struct FromAccumulate<Half> {
  __host__ __device__ static Half convert(float value) {
#ifdef __CUDA_ARCH__
    Half result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
#else
    const uint32_t bits = bit_cast<uint32_t>(value);
    const uint16_t sign = uint16_t((bits >> 16) & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return Half{uint16_t(sign | 0x7e00)};
    if (magnitude >= 0x47800000) return Half{uint16_t(sign | 0x7c00)};
    if (magnitude < 0x38800000) {  // subnormal: adding 0.5 leaves it, rounded, in the last bits
      const float shifted = bit_cast<float>(magnitude) + 0.5f;
      return Half{uint16_t(sign | (bit_cast<uint32_t>(shifted) - 0x3f000000))};
    }
    const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1) - 0x38000000;
    return Half{uint16_t(sign | (rounded >> 13))};
#endif
  }
};

template <typename T>
__host__ __device__ inline T from_accumulate(Accumulate<T> value) {
  return FromAccumulate<T>::convert(value);
}

// V values that load and store together, in pieces of at most 16 bytes. V > 1 needs an aligned address.
template <typename T, int V>
struct alignas(sizeof(T) * V < 16 ? sizeof(T) * V : 16) Vector {
  T at[V];
};

// Values in 16 bytes.
template <typename T>
constexpr int kWide = 16 / sizeof(T);

template <typename T, int V>
__device__ inline Vector<T, V> load(const T* from) {
  return *reinterpret_cast<const Vector<T, V>*>(from);
}

template <typename T, int V>
__device__ inline void store(T* to, const Vector<T, V>& value) {
  *reinterpret_cast<Vector<T, V>*>(to) = value;
}

inline bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

}  // namespace graphkern::cuda
