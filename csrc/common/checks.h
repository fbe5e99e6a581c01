// What every launcher does with its tensors. Compiled once, with the LibTorch stable ABI.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "dispatch.h"

namespace graphkern {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline Value value_of(const Tensor& t) {
  switch (t.scalar_type()) {
    case ScalarType::Float:
      return Value::f32;
    case ScalarType::Double:
      return Value::f64;
    case ScalarType::Half:
      return Value::f16;
    case ScalarType::BFloat16:
      return Value::bf16;
    default:
      STD_TORCH_CHECK(false, "expected float32, float64, float16 or bfloat16");
  }
}

// The dtype that sums are kept in.
inline ScalarType accumulate_type(const Tensor& t) {
  return t.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

inline int64_t accumulate_bytes(const Tensor& t) { return t.scalar_type() == ScalarType::Double ? 8 : 4; }

inline bool is_64bit(const Tensor& index) {
  const ScalarType type = index.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Long || type == ScalarType::Int, "expected int32 or int64 indices");
  return type == ScalarType::Long;
}

inline Tensor as_contiguous(const Tensor& t) { return t.is_contiguous() ? t : torch::stable::contiguous(t); }
inline std::optional<Tensor> as_contiguous(const std::optional<Tensor>& t) {
  return t ? std::optional<Tensor>(as_contiguous(*t)) : std::nullopt;
}

inline const void* pointer(const Tensor& t) { return t.const_data_ptr(); }
inline const void* pointer(const std::optional<Tensor>& t) { return t ? t->const_data_ptr() : nullptr; }

// Memory for a result. Fresh memory costs a page fault for each page that is written: large results ask for huge pages,
// where the system grants them on request.
inline Tensor allocate(std::initializer_list<int64_t> size, ScalarType type) {
  std::vector<int64_t> stride(size.size(), 1);
  for (size_t i = size.size(); i > 1; --i) stride[i - 2] = stride[i - 1] * std::max<int64_t>(size.begin()[i - 1], 1);
  AtenTensorHandle handle;  // by way of the shim: torch::stable::empty looks the operator up by name on each call
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      size.size(), size.begin(), stride.data(), torch::stable::detail::to<int32_t>(torch::stable::detail::from(type)),
      aoti_torch_device_type_cpu(), 0, &handle));
  Tensor out(handle);
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kHugePage = 2 << 20;
  const uintptr_t data = reinterpret_cast<uintptr_t>(out.mutable_data_ptr());
  const uintptr_t begin = (data + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (data + out.numel() * out.element_size()) / kHugePage * kHugePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
  return out;
}

}  // namespace graphkern
