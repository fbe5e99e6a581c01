// The place of a launcher's call on the host: tensors in host memory, a stream of nothing.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstring>

#include "common/launch.cuh"

namespace graphkern::cuda {

class Place {
 public:
  explicit Place(const torch::stable::Tensor& x) { check(x); }

  Stream stream() const { return 0; }

  void check(const torch::stable::Tensor& t) const {
    STD_TORCH_CHECK(t.is_cpu(), "expected all tensors in host memory");
  }

  // Fresh memory holds what is NaN in every float type and no empty key: 0x7ffd.
  void made(const torch::stable::Tensor& t) const {
    auto* bytes = static_cast<unsigned char*>(t.mutable_data_ptr());
    for (int64_t i = 0; i < t.numel() * int64_t(t.element_size()); ++i) bytes[i] = i % 2 == 0 ? 0xfd : 0x7f;
  }

  void copy_to_host(void* to, const void* from, int64_t bytes) const { std::memcpy(to, from, size_t(bytes)); }

  static void check_launch() {}
};

}  // namespace graphkern::cuda
