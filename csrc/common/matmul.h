// The platform's matrix multiply on raw blocks, for kernels that stream a product through cache-sized tiles.
#pragma once

#include <atomic>
#include <cstdlib>

#include "checks.h"
#include "convert.h"

namespace graphkern {

// A strided view of memory: element (i, j) at data[i * row_stride + j * column_stride].
struct Matrix {
  const void* data;
  int64_t rows, columns, row_stride, column_stride;
};

inline Matrix row_major(const void* data, int64_t rows, int64_t columns) { return {data, rows, columns, columns, 1}; }
inline Matrix transposed(const Matrix& m) { return {m.data, m.columns, m.rows, m.column_stride, m.row_stride}; }

inline Tensor as_tensor(const Matrix& m, ScalarType type) {
  const std::array<int64_t, 2> size{m.rows, m.columns}, stride{m.row_stride, m.column_stride};
  return torch::stable::from_blob(
      const_cast<void*>(m.data), size, stride, torch::stable::Device(torch::headeronly::DeviceType::CPU), type);
}

// out [m, n] = a [m, k] @ b [k, n], all of one type (float or double). On one thread when called from a parallel
// region.
inline void matmul(const Matrix& out, const Matrix& a, const Matrix& b, ScalarType type) {
  using torch::stable::detail::from;
  std::array<StableIValue, 3> stack{from(as_tensor(a, type)), from(as_tensor(b, type)), from(as_tensor(out, type))};
  STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::mm", "out", stack.data(), TORCH_ABI_VERSION));
  torch::stable::detail::to<Tensor>(stack[0]);  // takes the returned reference off the stack
}

// Calls f(block) for each block, each thread taking the next when it is free, from a parallel region even where there
// is only one: products then run on one thread each, and their bits do not depend on the number of threads.
template <typename F>
void parallel_blocks(int64_t num_blocks, const F& f) {
  const int64_t workers = std::min<int64_t>(num_blocks, torch::stable::get_num_threads());
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, std::max<int64_t>(workers, 2), 1, [&](int64_t, int64_t) {
    for (int64_t block = next++; block < num_blocks; block = next++) f(block);
  });
}

// 64-byte aligned memory: the same alignment every run keeps the platform's products bit-identical.
class Buffer {
 public:
  explicit Buffer(int64_t bytes) : data_(static_cast<char*>(std::aligned_alloc(64, (bytes + 64) / 64 * 64))) {
    STD_TORCH_CHECK(data_ != nullptr, "out of memory");
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* raw() { return data_; }

  template <typename T>
  T* as(int64_t offset = 0) {
    return reinterpret_cast<T*>(data_) + offset;
  }

 private:
  char* data_;
};

// A contiguous matrix in its own type, its rows widened to the accumulation type on demand.
struct Operand {
  Value value;
  const char* data;
  int64_t columns, bytes;
  double scale;

  Operand(const Tensor& t, double scale)
      : value(value_of(t)),
        data(static_cast<const char*>(t.const_data_ptr())),
        columns(t.numel() ? t.numel() / t.size(0) : 0),
        bytes(t.element_size()),
        scale(scale) {}

  // Rows [begin, begin + count) scaled; copies into `buffer` unless they can be used where they are.
  Matrix rows(int64_t begin, int64_t count, void* buffer) const {
    const void* source = data + begin * columns * bytes;
    if (scale == 1 && (value == Value::f32 || value == Value::f64)) return row_major(source, count, columns);
    GK_KERNEL(widen)(value, source, buffer, count * columns, scale);
    return row_major(buffer, count, columns);
  }
};

}  // namespace graphkern
