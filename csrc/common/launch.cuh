// The device world of the kernels: value types, vectors, launches. Everything a kernel file may include.
//
// Compiled by nvcc, or by a plain C++ compiler with a header that plays the device (tests/cuda_on_host).
#pragma once

#ifndef __CUDACC__
#include "device_on_host.h"
#endif

#include <cstdint>

#ifndef GPU_MAX_BLOCKS
#define GPU_MAX_BLOCKS 2147483647  // of a grid's first axis; kernels stride over what is beyond
#endif

namespace graphkern::cuda {

constexpr int kBlock = 256;      // threads
constexpr int kBlocksPerSm = 3;  // leaves 80 registers a thread; without it ptxas spills to fit more blocks

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

// Division by a number that is known at launch: a multiplication, where the hardware would call a subroutine.
class Divisor {
 public:
  explicit Divisor(int64_t value) : value_(uint64_t(value)), inverse_(value > 0 ? ~uint64_t(0) / uint64_t(value) : 0) {}

  // n >= 0. The estimate is right or one too small.
  __device__ int64_t quotient(int64_t n) const {
    const uint64_t estimate = multiply_high(uint64_t(n), inverse_);
    return int64_t(estimate + (uint64_t(n) - estimate * value_ >= value_ ? 1 : 0));
  }
  __device__ int64_t remainder(int64_t n, int64_t quotient) const { return n - quotient * int64_t(value_); }
  __host__ __device__ int64_t value() const { return int64_t(value_); }

 private:
  __device__ static uint64_t multiply_high(uint64_t a, uint64_t b) {
#ifdef __CUDA_ARCH__
    return __umul64hi(a, b);
#else
    return uint64_t((static_cast<unsigned __int128>(a) * b) >> 64);
#endif
  }

  uint64_t value_, inverse_;
};

// A thread's place in the grid, and the distance to its next item.
__device__ inline int64_t first_item() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t item_stride() { return int64_t(gridDim.x) * blockDim.x; }

#ifdef __CUDACC__
using Stream = cudaStream_t;
#else
using Stream = int;
#endif

// One thread an item, in blocks of kBlock; kernels start at first_item() and stride by item_stride().
template <typename... Parameters, typename... Arguments>
void launch(Stream stream, int64_t items, void (*kernel)(Parameters...), const Arguments&... arguments) {
  if (items == 0) return;
  const int64_t blocks = (items + kBlock - 1) / kBlock;
  const unsigned grid = unsigned(blocks < GPU_MAX_BLOCKS ? blocks : GPU_MAX_BLOCKS);
#ifdef __CUDACC__
  kernel<<<grid, kBlock, 0, stream>>>(Parameters(arguments)...);
#else
  run_on_host(grid, kBlock, [&] { kernel(Parameters(arguments)...); });
#endif
}

}  // namespace graphkern::cuda
