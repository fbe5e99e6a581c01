// The CUDA kernels as C functions over plain arrays. Each array is copied to and from a block of exactly its size, so
// that AddressSanitizer sees a step outside; outputs and workspaces start as NaN.
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <new>

#include "sddmm/sddmm_kernels.cuh"
#include "spmm/spmm_kernels.cuh"
#include "spmm_extremum/spmm_extremum_kernels.cuh"

namespace {

using namespace graphkern::cuda;

struct Array {
  void* data;
  int64_t bytes;
};

class Memory {
 public:
  // `shift` bytes past an aligned address: 0 lets kernels use their widest loads.
  explicit Memory(int64_t shift) : shift_(size_t(shift)) {}
  ~Memory() {
    for (const Block& block : blocks_) {
      if (block.copy_to != nullptr) std::memcpy(block.copy_to, block.data + shift_, block.bytes);
      std::free(block.data);
    }
  }

  template <typename T>
  const T* in(const Array& array) {
    if (array.data == nullptr) return nullptr;
    char* data = add(size_t(array.bytes), nullptr);
    std::memcpy(data, array.data, size_t(array.bytes));
    return reinterpret_cast<const T*>(data);
  }
  template <typename T>
  T* out(const Array& array) {
    return reinterpret_cast<T*>(add(size_t(array.bytes), static_cast<char*>(array.data)));
  }
  void* operator()(int64_t bytes) { return add(size_t(bytes), nullptr); }

 private:
  struct Block {
    char* data;
    char* copy_to;
    size_t bytes;
  };

  char* add(size_t bytes, char* copy_to) {
    void* data = nullptr;
    if (posix_memalign(&data, 256, bytes + shift_) != 0) throw std::bad_alloc();
    std::memset(data, 0xff, bytes + shift_);
    blocks_.push_back({static_cast<char*>(data), copy_to, bytes});
    return static_cast<char*>(data) + shift_;
  }

  size_t shift_;
  std::deque<Block> blocks_;
};

template <typename T>
struct Tag {
  using type = T;
};

template <typename F>
void dispatch(int64_t value, int64_t index_bytes, const F& f) {
  const auto with_index = [&](auto v) { index_bytes == 4 ? f(v, Tag<int32_t>{}) : f(v, Tag<int64_t>{}); };
  switch (value) {
    case 0:
      return with_index(Tag<float>{});
    case 1:
      return with_index(Tag<double>{});
    case 2:
      return with_index(Tag<Half>{});
    default:
      return with_index(Tag<BFloat16>{});
  }
}

}  // namespace

extern "C" {

// type: {value type: float32, float64, float16, bfloat16; index bytes; shift}
void spmm(
    const int64_t* type, Array indptr, Array indices, Array edge, Array x, Array weight, Array out, int64_t num_rows,
    int64_t num_edges, int64_t features, int64_t heads, int64_t mean) {
  dispatch(type[0], type[1], [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    Memory m(type[2]);
    spmm(
        Stream{},
        SpmmArguments<T, I>{
            m.in<I>(indptr), m.in<I>(indices), m.in<I>(edge), m.in<T>(x), m.in<T>(weight), m.out<T>(out), num_rows,
            num_edges, features, heads, mean != 0},
        m);
  });
}

void spmm_extremum(
    const int64_t* type, Array indptr, Array indices, Array x, Array weight, Array out, Array arg, int64_t num_rows,
    int64_t num_edges, int64_t features, int64_t heads, int64_t is_max) {
  dispatch(type[0], type[1], [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    Memory m(type[2]);
    spmm_extremum(
        Stream{},
        ExtremumArguments<T, I>{
            m.in<I>(indptr), m.in<I>(indices), m.in<T>(x), m.in<T>(weight), m.out<T>(out), m.out<I>(arg), num_rows,
            num_edges, features, heads, is_max != 0},
        m);
  });
}

void spmm_extremum_grad_x(
    const int64_t* type, Array t_indptr, Array t_indices, Array t_edge, Array grad, Array arg, Array weight, Array out,
    int64_t num_cols, int64_t num_edges, int64_t features, int64_t heads) {
  dispatch(type[0], type[1], [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    Memory m(type[2]);
    spmm_extremum_grad_x(
        Stream{},
        ExtremumGradXArguments<T, I>{
            m.in<I>(t_indptr), m.in<I>(t_indices), m.in<I>(t_edge), m.in<T>(grad), m.in<I>(arg), m.in<T>(weight),
            m.out<T>(out), num_cols, num_edges, features, heads},
        m);
  });
}

void spmm_extremum_grad_weight(
    const int64_t* type, Array indptr, Array indices, Array grad, Array arg, Array x, Array out, int64_t num_rows,
    int64_t num_edges, int64_t features, int64_t heads) {
  dispatch(type[0], type[1], [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    Memory m(type[2]);
    spmm_extremum_grad_weight(
        Stream{}, ExtremumGradWeightArguments<T, I>{
                      m.in<I>(indptr), m.in<I>(indices), m.in<T>(grad), m.in<I>(arg), m.in<T>(x), m.out<T>(out),
                      num_rows, num_edges, features, heads});
  });
}

void sddmm(
    const int64_t* type, Array indptr, Array indices, Array edge, Array q, Array k, Array out, int64_t num_rows,
    int64_t num_edges, int64_t features, int64_t heads) {
  dispatch(type[0], type[1], [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    Memory m(type[2]);
    sddmm(
        Stream{}, SddmmArguments<T, I>{
                      m.in<I>(indptr), m.in<I>(indices), m.in<I>(edge), m.in<T>(q), m.in<T>(k), m.out<T>(out), num_rows,
                      num_edges, features, heads});
  });
}

}  // extern "C"
