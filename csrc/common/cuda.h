// What every CUDA launcher does with its tensors. LibTorch stable ABI only.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <deque>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#ifdef __CUDACC__
#include "cuda_place.h"
#else
#include "place_on_host.h"
#endif

namespace graphkern::cuda {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The place of a call, and the memory it needs: that is freed in stream order when the call ends.
class Call {
 public:
  explicit Call(const Tensor& x) : like_(x), place_(x) {}

  Stream stream() const { return place_.stream(); }

  Tensor allocate(std::initializer_list<int64_t> size, ScalarType type) const {
    Tensor made = torch::stable::new_empty(like_, std::vector<int64_t>(size), type);
    place_.made(made);
    return made;
  }

  void* workspace(int64_t bytes) {
    kept_.push_back(allocate({bytes}, ScalarType::Byte));
    return kept_.back().mutable_data_ptr();
  }

  // A tensor's values, contiguous and on this call's device; null for none.
  template <typename T>
  const T* read(const Tensor& t) {
    place_.check(t);
    kept_.push_back(torch::stable::contiguous(t));
    return static_cast<const T*>(kept_.back().const_data_ptr());
  }
  template <typename T>
  const T* read(const std::optional<Tensor>& t) {
    return t ? read<T>(*t) : nullptr;
  }

  // Waits for the stream and copies `count` values to the host.
  template <typename T>
  std::vector<T> to_host(const T* values, int64_t count) const {
    std::vector<T> result(static_cast<size_t>(count));
    if (count > 0) place_.copy_to_host(result.data(), values, count * int64_t(sizeof(T)));
    return result;
  }

  static void check_launch() { Place::check_launch(); }

 private:
  Tensor like_;
  Place place_;
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

// Calls f(index tag).
template <typename F>
void dispatch_index(const Tensor& index, const F& f) {
  switch (index.scalar_type()) {
    case ScalarType::Int:
      return f(Tag<int32_t>{});
    case ScalarType::Long:
      return f(Tag<int64_t>{});
    default:
      STD_TORCH_CHECK(false, "expected int32 or int64 indices");
  }
}

// Calls f(value tag).
template <typename F>
void dispatch_value(const Tensor& value, const F& f) {
  switch (value.scalar_type()) {
    case ScalarType::Float:
      return f(Tag<float>{});
    case ScalarType::Double:
      return f(Tag<double>{});
    case ScalarType::Half:
      return f(Tag<Half>{});
    case ScalarType::BFloat16:
      return f(Tag<BFloat16>{});
    default:
      STD_TORCH_CHECK(false, "expected float32, float64, float16 or bfloat16");
  }
}

// Calls f(value tag, index tag).
template <typename F>
void dispatch(const Tensor& value, const Tensor& index, const F& f) {
  dispatch_value(value, [&](auto v) { dispatch_index(index, [&](auto i) { f(v, i); }); });
}

// The dtype that sums are kept in.
inline ScalarType accumulate_type(const Tensor& t) {
  return t.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

inline int64_t heads_of(const std::optional<Tensor>& weight) { return weight ? weight->size(1) : 1; }

}  // namespace graphkern::cuda
