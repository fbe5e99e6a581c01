// What every CUDA launcher does with its tensors. LibTorch stable ABI only.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <deque>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "launch.cuh"

namespace graphkern::cuda {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The device and current stream of a call, and the memory it needs: that is freed in stream order when the call ends.
class Call {
 public:
  explicit Call(const Tensor& x) : like_(x), device_(device_of(x)), guard_(device_) {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device_, &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }

  cudaStream_t stream() const { return stream_; }

  Tensor allocate(std::initializer_list<int64_t> size, ScalarType type) const {
    return torch::stable::new_empty(like_, std::vector<int64_t>(size), type);
  }

  void* workspace(int64_t bytes) {
    kept_.push_back(allocate({bytes}, ScalarType::Byte));
    return kept_.back().mutable_data_ptr();
  }

  // A tensor's values, contiguous and on this call's device; null for none.
  template <typename T>
  const T* read(const Tensor& t) {
    STD_TORCH_CHECK(device_of(t) == device_, "expected all tensors on cuda:", device_);
    kept_.push_back(torch::stable::contiguous(t));
    return static_cast<const T*>(kept_.back().const_data_ptr());
  }
  template <typename T>
  const T* read(const std::optional<Tensor>& t) {
    return t ? read<T>(*t) : nullptr;
  }

  static void check_launch() {
    const cudaError_t error = cudaGetLastError();
    STD_TORCH_CHECK(error == cudaSuccess, "CUDA launch failed: ", cudaGetErrorString(error));
  }

 private:
  static int32_t device_of(const Tensor& t) {
    STD_TORCH_CHECK(t.is_cuda(), "expected all tensors on one CUDA device");
    return t.get_device_index();
  }

  Tensor like_;
  int32_t device_;
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_ = nullptr;
  std::deque<Tensor> kept_;
};

template <typename T>
T* write(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

template <typename T>
struct Tag {
  using type = T;
};

// Calls f(value tag, index tag).
template <typename F>
void dispatch(const Tensor& value, const Tensor& index, const F& f) {
  const auto with_index = [&](auto v) {
    switch (index.scalar_type()) {
      case ScalarType::Int:
        return f(v, Tag<int32_t>{});
      case ScalarType::Long:
        return f(v, Tag<int64_t>{});
      default:
        STD_TORCH_CHECK(false, "expected int32 or int64 indices");
    }
  };
  switch (value.scalar_type()) {
    case ScalarType::Float:
      return with_index(Tag<float>{});
    case ScalarType::Double:
      return with_index(Tag<double>{});
    case ScalarType::Half:
      return with_index(Tag<Half>{});
    case ScalarType::BFloat16:
      return with_index(Tag<BFloat16>{});
    default:
      STD_TORCH_CHECK(false, "expected float32, float64, float16 or bfloat16");
  }
}

inline int64_t heads_of(const std::optional<Tensor>& weight) { return weight ? weight->size(1) : 1; }

}  // namespace graphkern::cuda
