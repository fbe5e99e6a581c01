// What a launcher asks of the CUDA runtime and of torch's CUDA side. Tests put a host in its place.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "launch.cuh"

namespace graphkern::cuda {

// The device and current stream of a call.
class Place {
 public:
  explicit Place(const torch::stable::Tensor& x) : device_(device_of(x)), guard_(device_) {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device_, &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }

  Stream stream() const { return stream_; }

  // On this device; or in pinned host memory, which kernels read where it is and the caller keeps until they ran.
  void check(const torch::stable::Tensor& t) const {
    STD_TORCH_CHECK(
        t.is_cpu() ? is_pinned(t) : device_of(t) == device_, "expected all tensors on cuda:", device_,
        ", or contiguous in pinned host memory");
  }

  // Called with each tensor that a launcher allocates.
  void made(const torch::stable::Tensor&) const {}

  void copy_to_host(void* to, const void* from, int64_t bytes) const {
    check_error(cudaMemcpyAsync(to, from, size_t(bytes), cudaMemcpyDeviceToHost, stream_));
    check_error(cudaStreamSynchronize(stream_));
  }

  static void check_launch() { check_error(cudaGetLastError()); }

 private:
  static void check_error(cudaError_t error) {
    STD_TORCH_CHECK(error == cudaSuccess, "CUDA failed: ", cudaGetErrorString(error));
  }

  // Whether the device finds it at the same address. One without elements has none.
  static bool is_pinned(const torch::stable::Tensor& t) {
    if (t.numel() == 0) return true;
    cudaPointerAttributes found{};
    check_error(cudaPointerGetAttributes(&found, t.const_data_ptr()));
    return t.is_contiguous() && found.type == cudaMemoryTypeHost && found.devicePointer == t.const_data_ptr();
  }

  static int32_t device_of(const torch::stable::Tensor& t) {
    STD_TORCH_CHECK(t.is_cuda(), "expected all tensors on one CUDA device");
    return t.get_device_index();
  }

  int32_t device_;
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_ = nullptr;
};

}  // namespace graphkern::cuda
