// The device world of the kernels: items of a grid, shared memory, launches. Device code includes this and its siblings
// (*.cuh) alone.
//
// Compiled by nvcc, or by a plain C++ compiler with a header that plays the device (tests/cuda_on_host).
#pragma once

#include "values.cuh"

#ifndef GPU_MAX_BLOCKS
#define GPU_MAX_BLOCKS 2147483647  // of a grid's first axis; kernels stride over what is beyond
#endif

namespace graphkern::cuda {

constexpr int kBlock = 256;      // threads
constexpr int kBlocksPerSm = 3;  // leaves 80 registers a thread; without it ptxas spills to fit more blocks

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

// GPU_SHARED(float, tile, [8][32]); declares memory that the threads of a block share. Its first values are anything.
// GPU_DYNAMIC_SHARED(float, row); points at what the launch asked for, 16-byte aligned.
#ifdef __CUDACC__
using Stream = cudaStream_t;
#define GPU_SHARED(T, name, ...) __shared__ T name __VA_ARGS__
#define GPU_DYNAMIC_SHARED(T, name)                    \
  extern __shared__ float4 graphkern_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(graphkern_dynamic_shared)
#else
using Stream = int;
#define GPU_SHARED(T, name, ...)     \
  using name##_type = T __VA_ARGS__; \
  static const char name##_site = 0; \
  name##_type& name =                \
      *static_cast<name##_type*>(on_host::shared_memory(&name##_site, sizeof(name##_type), alignof(name##_type)))
#define GPU_DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(on_host::dynamic_shared_memory())
#endif

inline unsigned grid_of(int64_t blocks) { return unsigned(blocks < GPU_MAX_BLOCKS ? blocks : GPU_MAX_BLOCKS); }

// `blocks` blocks of `threads` (a multiple of 32), or as many as a grid takes: kernels stride by gridDim.x over the
// rest. shared: bytes of dynamic shared memory a block.
template <typename... Parameters, typename... Arguments>
void launch_blocks(
    Stream stream, int64_t blocks, int threads, int64_t shared, void (*kernel)(Parameters...),
    const Arguments&... arguments) {
  if (blocks == 0) return;
#ifdef __CUDACC__
  if (shared > 48 * 1024) cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared));
  kernel<<<grid_of(blocks), threads, size_t(shared), stream>>>(Parameters(arguments)...);
#else
  static_cast<void>(stream);
  on_host::run(grid_of(blocks), unsigned(threads), shared, [&] { kernel(Parameters(arguments)...); });
#endif
}

// One thread an item, in blocks of kBlock; kernels start at first_item() and stride by item_stride().
template <typename... Parameters, typename... Arguments>
void launch(Stream stream, int64_t items, void (*kernel)(Parameters...), const Arguments&... arguments) {
  launch_blocks(stream, (items + kBlock - 1) / kBlock, kBlock, 0, kernel, arguments...);
}

}  // namespace graphkern::cuda
