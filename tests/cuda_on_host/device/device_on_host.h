// Plays the device for kernels that a plain C++ compiler compiles: qualifiers, indices, warp operations, barriers,
// atomics. runtime.cpp does the work.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct Dim3 {
  unsigned x, y, z;
};

extern Dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace on_host {

using Where = std::source_location;

void run(unsigned blocks, unsigned threads, int64_t shared_bytes, const std::function<void()>& kernel);

// What `site` names is one for all threads of a block.
void* shared_memory(const void* site, size_t bytes, size_t alignment);
void* dynamic_shared_memory();

void barrier(Where where);

enum class WarpOp { kSync, kShuffle, kShuffleXor, kShuffleUp, kShuffleDown, kBallot, kMatch };

// Waits for the lanes in mask; the result is a value of another lane (shuffles) or a mask of lanes.
uint64_t meet(WarpOp op, unsigned mask, uint64_t value, int argument, int width, Where where);
unsigned running_lanes();

enum class AtomicOp { kAdd, kMin, kMax, kExchange, kCompare, kOr, kAnd };

// Changes the `bytes` (4 or 8) at address; returns what was there. is_signed: for min and max.
uint64_t atomic(AtomicOp op, void* address, int bytes, bool is_signed, uint64_t value, uint64_t compare, Where where);

template <typename T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <typename T>
T atomic_of(AtomicOp op, T* address, T value, T compare, Where where) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  return from_bits<T>(
      atomic(op, address, int(sizeof(T)), std::is_signed_v<T>, to_bits(value), to_bits(compare), where));
}

template <typename T>
T shuffle(WarpOp op, unsigned mask, T value, int argument, int width, Where where) {
  return from_bits<T>(meet(op, mask, to_bits(value), argument, width, where));
}

}  // namespace on_host

#define GK_HERE on_host::Where where = on_host::Where::current()

inline void __syncthreads(GK_HERE) { on_host::barrier(where); }
inline void __syncwarp(unsigned mask = 0xffffffff, GK_HERE) {
  on_host::meet(on_host::WarpOp::kSync, mask, 0, 0, 32, where);
}
inline unsigned __activemask() { return on_host::running_lanes(); }
inline void __threadfence() {}

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, GK_HERE) {
  return on_host::shuffle(on_host::WarpOp::kShuffle, mask, value, lane, width, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, GK_HERE) {
  return on_host::shuffle(on_host::WarpOp::kShuffleXor, mask, value, lanes, width, where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32, GK_HERE) {
  return on_host::shuffle(on_host::WarpOp::kShuffleUp, mask, value, int(lanes), width, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32, GK_HERE) {
  return on_host::shuffle(on_host::WarpOp::kShuffleDown, mask, value, int(lanes), width, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, GK_HERE) {
  return unsigned(on_host::meet(on_host::WarpOp::kBallot, mask, predicate != 0, 0, 32, where));
}
inline int __any_sync(unsigned mask, int predicate, GK_HERE) { return __ballot_sync(mask, predicate, where) != 0; }
inline int __all_sync(unsigned mask, int predicate, GK_HERE) { return __ballot_sync(mask, predicate, where) == mask; }
template <typename T>
unsigned __match_any_sync(unsigned mask, T value, GK_HERE) {
  return unsigned(on_host::meet(on_host::WarpOp::kMatch, mask, on_host::to_bits(value), 0, 32, where));
}

// As CUDA declares them: int64_t, which is long here, needs a cast there and here.
#define GK_ATOMIC(name, op, T)                                                      \
  inline T name(T* address, T value, GK_HERE) {                                     \
    return on_host::atomic_of(on_host::AtomicOp::op, address, value, value, where); \
  }
GK_ATOMIC(atomicAdd, kAdd, int)
GK_ATOMIC(atomicAdd, kAdd, unsigned)
GK_ATOMIC(atomicAdd, kAdd, unsigned long long)
GK_ATOMIC(atomicMin, kMin, int)
GK_ATOMIC(atomicMin, kMin, unsigned)
GK_ATOMIC(atomicMin, kMin, long long)
GK_ATOMIC(atomicMin, kMin, unsigned long long)
GK_ATOMIC(atomicMax, kMax, int)
GK_ATOMIC(atomicMax, kMax, unsigned)
GK_ATOMIC(atomicMax, kMax, long long)
GK_ATOMIC(atomicMax, kMax, unsigned long long)
GK_ATOMIC(atomicExch, kExchange, int)
GK_ATOMIC(atomicExch, kExchange, unsigned)
GK_ATOMIC(atomicExch, kExchange, unsigned long long)
GK_ATOMIC(atomicOr, kOr, int)
GK_ATOMIC(atomicOr, kOr, unsigned)
GK_ATOMIC(atomicOr, kOr, unsigned long long)
GK_ATOMIC(atomicAnd, kAnd, int)
GK_ATOMIC(atomicAnd, kAnd, unsigned)
GK_ATOMIC(atomicAnd, kAnd, unsigned long long)
#undef GK_ATOMIC

template <typename T>
  requires std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value, GK_HERE) {
  return on_host::atomic_of(on_host::AtomicOp::kCompare, address, value, compare, where);
}

#undef GK_HERE

template <typename T>
T __ldg(const T* address) {
  return *address;
}

inline int __popc(unsigned value) { return std::popcount(value); }
inline int __popcll(unsigned long long value) { return std::popcount(value); }
inline int __clz(int value) { return std::countl_zero(unsigned(value)); }
inline int __clzll(long long value) { return std::countl_zero(static_cast<unsigned long long>(value)); }
inline int __ffs(int value) { return value == 0 ? 0 : std::countr_zero(unsigned(value)) + 1; }
inline int __ffsll(long long value) {
  return value == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(value)) + 1;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
