// Kernels with one fault each, planted. fault(name) runs one and returns what the device said, or null if it saw
// nothing.
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "common/warp.cuh"

namespace {

using namespace graphkern::cuda;

// ---- barriers and warps: every build sees these.

__global__ void divergent_barrier(int*) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void exit_before_barrier(int*) {
  if (threadIdx.x == 40) return;
  __syncthreads();
}

__global__ void exit_after_others_wait(int*) {
  if (threadIdx.x == 63) return;
  __syncthreads();
}

__global__ void barrier_of_one_warp(int* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    out[0] = __ballot_sync(kAllLanes, 1);
  }
}

__global__ void mask_with_ended_lane(int* out) {
  if (threadIdx.x % 32 == 7) return;
  out[threadIdx.x] = __shfl_sync(kAllLanes, 1, 0);
}

__global__ void mask_without_self(int* out) { out[threadIdx.x] = __shfl_sync(0x0000ffff, 1, 0); }

__global__ void shuffle_from_outside_the_mask(int* out) {
  if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_sync(0x0000ffff, 1, 20);
}

__global__ void two_shuffles(int* out) {
  if (threadIdx.x % 2 == 0) {
    out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1, 1);
  } else {
    out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 2, 1);
  }
}

__global__ void shuffle_meets_ballot(int* out) {
  if (threadIdx.x % 2 == 0) {
    out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1, 1);
  } else {
    out[threadIdx.x] = int(__ballot_sync(kAllLanes, 1));
  }
}

__global__ void two_masks(int* out) {
  out[threadIdx.x] = __shfl_xor_sync(threadIdx.x % 32 < 16 ? 0x0000ffff : kAllLanes, 1, 1);
}

__global__ void uneven_rounds(int* out) {
  for (unsigned round = 0; round <= threadIdx.x % 3; ++round) out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1, 1);
}

__global__ void misaligned_atomic(int* out) { atomicAdd(reinterpret_cast<int*>(reinterpret_cast<char*>(out) + 2), 1); }

// ---- memory: the asan build sees these. out: [64].

__global__ void write_behind(int* out) {
  if (threadIdx.x == 63) out[64] = 1;
}

__global__ void write_before(int* out) {
  if (threadIdx.x == 0) out[-1] = 1;
}

__global__ void read_behind(int* out) {
  if (threadIdx.x == 63) out[0] = out[threadIdx.x + 1];
}

__global__ void shared_behind(int* out) {
  GPU_SHARED(int, tile, [64]);
  int* values = tile;
  values[threadIdx.x + 1] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x + 1];
}

__global__ void shared_index(int* out) {
  GPU_SHARED(int, tile, [2][32]);
  tile[0][threadIdx.x] = 1;
  out[threadIdx.x] = tile[0][threadIdx.x];
}

__global__ void dynamic_shared_behind(int* out) {
  GPU_DYNAMIC_SHARED(int, values);
  values[threadIdx.x] = 1;
  out[threadIdx.x] = values[threadIdx.x];
}

__global__ void misaligned_vector(int* out) { store<int, 4>(out + 1, Vector<int, 4>{}); }

__global__ void shift_too_far(int* out) { out[threadIdx.x] = 1 << threadIdx.x; }

__global__ void index_overflow(int* out) { out[0] = int(threadIdx.x) * 0x7fffffff; }

__global__ void divide_by_zero(int* out) { out[threadIdx.x] = 7 / int(threadIdx.x / 64); }

// ---- order of memory: the race build sees these.

__global__ void two_write(int* out) { out[0] = int(threadIdx.x); }

__global__ void same_value(int* out) { out[0] = 1; }

__global__ void missing_barrier(int* out) {
  GPU_SHARED(int, tile, [64]);
  tile[threadIdx.x] = 1;
  out[threadIdx.x] = tile[63 - threadIdx.x];
}

__global__ void barrier_of_a_warp_only(int* out) {
  GPU_SHARED(int, tile, [64]);
  tile[threadIdx.x] = 1;
  __syncwarp();
  out[threadIdx.x] = tile[63 - threadIdx.x];
}

__global__ void shuffle_is_no_barrier(int* out) {
  GPU_SHARED(int, tile, [64]);
  tile[threadIdx.x] = 1;
  out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1, 1) + tile[threadIdx.x ^ 1];
}

__global__ void reused_tile(int* out) {
  GPU_SHARED(int, tile, [64]);
  for (int round = 0; round < 2; ++round) {
    tile[threadIdx.x] = round;
    __syncthreads();
    out[threadIdx.x] = tile[63 - threadIdx.x];
  }
}

__global__ void blocks_share(int* out) {
  if (threadIdx.x == 0) out[0] += 1;
}

__global__ void read_beside_atomic(int* out) {
  if (threadIdx.x == 0) atomicAdd(out, 1);
  if (threadIdx.x == 1) out[1] = out[0];
}

__global__ void byte_beside_byte(int* out) { reinterpret_cast<char*>(out)[threadIdx.x / 2] = 1; }

// ---- no fault: nothing may be said. Two blocks: each writes its own half.

__global__ void sound(int* out) {
  GPU_SHARED(int, tile, [64]);
  GPU_SHARED(int, pairs, [64]);
  for (int round = 0; round < 2; ++round) {
    tile[threadIdx.x] = int(threadIdx.x);
    __syncthreads();
    pairs[threadIdx.x] = tile[63 - threadIdx.x];
    __syncwarp();
    const int sum = fold_lanes(pairs[threadIdx.x ^ 1]);
    if (blockIdx.x == 0) atomicMax(out, sum + round);
    __syncthreads();
  }
}

using Kernel = void (*)(int*);

const std::map<std::string, Kernel> kernels = {
#define GK_KERNEL(name) {#name, name}
    GK_KERNEL(divergent_barrier),
    GK_KERNEL(exit_before_barrier),
    GK_KERNEL(exit_after_others_wait),
    GK_KERNEL(barrier_of_one_warp),
    GK_KERNEL(mask_with_ended_lane),
    GK_KERNEL(mask_without_self),
    GK_KERNEL(shuffle_from_outside_the_mask),
    GK_KERNEL(two_shuffles),
    GK_KERNEL(shuffle_meets_ballot),
    GK_KERNEL(two_masks),
    GK_KERNEL(uneven_rounds),
    GK_KERNEL(misaligned_atomic),
    GK_KERNEL(write_behind),
    GK_KERNEL(write_before),
    GK_KERNEL(read_behind),
    GK_KERNEL(shared_behind),
    GK_KERNEL(shared_index),
    GK_KERNEL(dynamic_shared_behind),
    GK_KERNEL(misaligned_vector),
    GK_KERNEL(shift_too_far),
    GK_KERNEL(index_overflow),
    GK_KERNEL(divide_by_zero),
    GK_KERNEL(two_write),
    GK_KERNEL(same_value),
    GK_KERNEL(missing_barrier),
    GK_KERNEL(barrier_of_a_warp_only),
    GK_KERNEL(shuffle_is_no_barrier),
    GK_KERNEL(reused_tile),
    GK_KERNEL(blocks_share),
    GK_KERNEL(read_beside_atomic),
    GK_KERNEL(byte_beside_byte),
    GK_KERNEL(sound),
#undef GK_KERNEL
};

std::string said;

}  // namespace

extern "C" [[gnu::visibility("default")]] const char* on_host_fault(const char* name) {
  const auto memory = std::make_unique<int[]>(64);
  try {
    launch_blocks(Stream{}, 2, 64, 63 * int64_t(sizeof(int)), kernels.at(name), memory.get());
  } catch (const std::runtime_error& error) {
    said = error.what();
    return said.c_str();
  }
  return nullptr;
}
