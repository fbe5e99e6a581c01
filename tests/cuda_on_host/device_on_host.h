// Plays the device for kernels whose threads never wait for one another: they run one after another, block by block.
#pragma once

#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)

struct Dim3 {
  unsigned x, y, z;
};

inline Dim3 gridDim, blockDim, blockIdx, threadIdx;

template <typename F>
void run_on_host(unsigned blocks, unsigned threads, const F& kernel) {
  gridDim = {blocks, 1, 1};
  blockDim = {threads, 1, 1};
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
    for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) kernel();
  }
}

// Threads that meet need a scheduler: such a kernel must not compile here.
template <typename... A>
int __syncthreads(A...) = delete;
template <typename... A>
int __syncwarp(A...) = delete;
template <typename... A>
int __shfl_sync(A...) = delete;
template <typename... A>
int __shfl_xor_sync(A...) = delete;
template <typename... A>
int __shfl_down_sync(A...) = delete;
template <typename... A>
int __ballot_sync(A...) = delete;
