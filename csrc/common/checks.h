// What every launcher does with its tensors. Compiled once, with the LibTorch stable ABI.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

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

inline bool is_64bit(const Tensor& index) {
  const ScalarType type = index.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Long || type == ScalarType::Int, "expected int32 or int64 indices");
  return type == ScalarType::Long;
}

inline std::optional<Tensor> contiguous(const std::optional<Tensor>& t) {
  return t ? std::optional<Tensor>(torch::stable::contiguous(*t)) : std::nullopt;
}

inline const void* pointer(const Tensor& t) { return t.const_data_ptr(); }
inline const void* pointer(const std::optional<Tensor>& t) { return t ? t->const_data_ptr() : nullptr; }

inline Tensor allocate(std::initializer_list<int64_t> size, ScalarType type) {
  const std::vector<int64_t> shape(size);
  return torch::stable::empty(shape, type);
}

// Calls f(row_begin, row_end) on all threads, each with about the same number of edges and rows.
// Rows are never split, so the result does not depend on the number of threads.
template <typename I, typename F>
void parallel_rows(const I* indptr, int64_t num_rows, int64_t operations_per_edge, const F& f) {
  constexpr int64_t kMinOperations = 32768;
  const int64_t total = int64_t(indptr[num_rows]) + num_rows;
  const int64_t most = std::max<int64_t>(1, total * std::max<int64_t>(1, operations_per_edge) / kMinOperations);
  const int64_t chunks = std::min<int64_t>(torch::stable::get_num_threads(), most);
  if (chunks == 1) return f(0, num_rows);
  const auto bound = [&](int64_t chunk) {
    if (chunk == chunks) return num_rows;
    const int64_t wanted = total / chunks * chunk;
    int64_t low = 0, high = num_rows;  // first row that begins at or after `wanted`
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (int64_t(indptr[middle]) + middle < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  torch::stable::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) { f(bound(begin), bound(end)); });
}

template <typename F>
void parallel_rows(const Tensor& indptr, int64_t operations_per_edge, const F& f) {
  const int64_t num_rows = indptr.size(0) - 1;
  baseline::dispatch_index(is_64bit(indptr), [&](auto i) {
    using I = typename decltype(i)::type;
    parallel_rows(static_cast<const I*>(indptr.const_data_ptr()), num_rows, operations_per_edge, f);
  });
}

}  // namespace graphkern
