#include "../common/isa.h"

#ifdef GK_LAUNCHER
#include "../common/matmul.h"
#include "../common/parallel.h"

namespace graphkern {
namespace {

constexpr int64_t kRowBlock = 512;     // rows of one product
constexpr int64_t kOuterBlock = 4096;  // rows that a gradient of a weight takes in before partial sums are added

// The rows [begin, end) of one segment.
using Blocks = std::vector<Piece>;

Blocks row_blocks(const Segments& segments, int64_t block) {
  Blocks blocks;
  for (int64_t s = 0; s < segments.count; ++s) {
    const int64_t end = segments[s + 1];
    for (int64_t begin = segments[s]; begin < end; begin += block) {
      blocks.push_back({s, begin, std::min(begin + block, end)});
    }
  }
  return blocks;
}

// Calls f(i) for each block, as many at a time as there are threads; products in it run on one thread.
template <typename F>
void each_block(int64_t num_blocks, const F& f) {
  const int64_t threads = std::max<int64_t>(2, std::min<int64_t>(num_blocks, torch::stable::get_num_threads()));
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      for (int64_t i = next++; i < num_blocks; i = next++) f(i);
    }
  });
}

// Matrices [count, rows, columns] of any strides, widened to the accumulation type if need be.
struct Stack {
  Tensor kept;
  Matrix first;
  int64_t stride, bytes;

  explicit Stack(const Tensor& t) : kept(dense(t)), first{}, stride(t.size(1) * t.size(2)), bytes(accumulate_bytes(t)) {
    const bool turned = kept.stride(2) != 1 && t.size(2) != 1;
    first = {pointer(kept), t.size(1), t.size(2), turned ? 1 : t.size(2), turned ? t.size(1) : 1};
  }

  Matrix operator[](int64_t i) const {
    Matrix m = first;
    m.data = static_cast<const char*>(first.data) + i * stride * bytes;
    return m;
  }

  // In the accumulation type; each matrix contiguous, by rows or by columns.
  static Tensor dense(const Tensor& t) {
    const bool turned = t.stride(0) == t.size(1) * t.size(2) && t.stride(1) == 1 && t.stride(2) == t.size(1);
    const Tensor laid = turned ? t : as_contiguous(t);
    if (t.scalar_type() == accumulate_type(t)) return laid;
    const Tensor source = turned ? torch::stable::transpose(t, 1, 2) : laid;
    Tensor wide = allocate({source.size(0), source.size(1), source.size(2)}, accumulate_type(t));
    GK_KERNEL(widen)(value_of(t), pointer(source), wide.mutable_data_ptr(), t.numel(), 1);
    return turned ? torch::stable::transpose(wide, 1, 2) : wide;
  }
};

// x: [L, F_in], indptr: [S + 1], weight: [S, F_in, F_out]. Returns [L, F_out]
Tensor segment_matmul(const Tensor& x, const Tensor& indptr, const Tensor& weight) {
  const Tensor rows = as_contiguous(x), bounds = as_contiguous(indptr);
  const Segments segments(bounds);
  STD_TORCH_CHECK(segments.count == weight.size(0), "indptr must have an entry more than there are weights");
  segments.check(x.size(0), true);
  const int64_t f_in = x.size(1), f_out = weight.size(2), out_bytes = f_out * x.element_size();
  Tensor out = allocate({x.size(0), f_out}, x.scalar_type());
  if (out.numel() == 0) return out;
  char* data = static_cast<char*>(out.mutable_data_ptr());
  if (f_in == 0) {
    std::fill_n(data, out.numel() * x.element_size(), 0);
    return out;
  }
  const ScalarType type = accumulate_type(x);
  const bool wide = x.scalar_type() == type;
  const Operand operand(rows, 1);
  const Stack weights(weight);
  const Blocks blocks = row_blocks(segments, kRowBlock);
  each_block(blocks.size(), [&](int64_t i) {
    const auto [segment, begin, end] = blocks[i];
    const int64_t count = end - begin;
    Buffer wide_x(wide ? 0 : count * f_in * 4), wide_out(wide ? 0 : count * f_out * 4);
    void* target = wide ? data + begin * out_bytes : wide_out.raw();
    matmul(row_major(target, count, f_out), operand.rows(begin, count, wide_x.raw()), weights[segment], type);
    if (!wide) GK_KERNEL(narrow)(value_of(x), target, data + begin * out_bytes, count * f_out);
  });
  return out;
}

// to[i] += from[i]
template <typename A>
void add(const void* from, void* to, int64_t size) {
  for (int64_t i = 0; i < size; ++i) static_cast<A*>(to)[i] += static_cast<const A*>(from)[i];
}

// x: [L, F_in], indptr: [S + 1], grad: [L, F_out]. Returns [S, F_in, F_out]
Tensor segment_outer(const Tensor& x, const Tensor& indptr, const Tensor& grad) {
  const Tensor left = as_contiguous(x), right = as_contiguous(grad);
  const Tensor bounds = as_contiguous(indptr);
  const Segments segments(bounds);
  segments.check(x.size(0), true);
  const int64_t f_in = x.size(1), f_out = grad.size(1), size = f_in * f_out;
  Tensor out = allocate({segments.count, f_in, f_out}, x.scalar_type());
  if (out.numel() == 0) return out;
  const ScalarType type = accumulate_type(x);
  const bool wide = x.scalar_type() == type;
  const int64_t bytes = size * accumulate_bytes(x), out_bytes = size * x.element_size();
  char* data = static_cast<char*>(out.mutable_data_ptr());
  const Operand a(left, 1), b(right, 1);
  const Blocks blocks = row_blocks(segments, kOuterBlock);
  std::vector<int64_t> partial(blocks.size(), -1);  // place among the partial sums, -1 where a block is its segment
  int64_t num_partials = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const bool alone = segments[blocks[i].row + 1] - segments[blocks[i].row] <= kOuterBlock;
    if (!alone) partial[i] = num_partials++;
  }
  Buffer partials(num_partials * bytes);
  for (int64_t s = 0; s < segments.count; ++s) {
    if (segments[s] == segments[s + 1]) std::fill_n(data + s * out_bytes, out_bytes, 0);
  }
  const auto finish = [&](int64_t segment, const void* sum) {
    GK_KERNEL(narrow)(value_of(x), sum, data + segment * out_bytes, size);
  };
  each_block(blocks.size(), [&](int64_t i) {
    const auto [segment, begin, end] = blocks[i];
    const int64_t count = end - begin;
    Buffer wide_x(wide ? 0 : count * f_in * 4), wide_grad(wide ? 0 : count * f_out * 4), sum(wide ? 0 : bytes);
    char* target = partial[i] >= 0 ? partials.as<char>(partial[i] * bytes)
                   : wide          ? data + segment * out_bytes
                                   : sum.as<char>();
    const Matrix m = transposed(a.rows(begin, count, wide_x.raw()));
    matmul(row_major(target, f_in, f_out), m, b.rows(begin, count, wide_grad.raw()), type);
    if (partial[i] < 0 && !wide) finish(segment, target);
  });
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (partial[i] < 0) continue;
    char* sum = partials.as<char>(partial[i] * bytes);
    for (; i + 1 < blocks.size() && blocks[i + 1].row == blocks[i].row; ++i) {
      const char* next = partials.as<char>(partial[i + 1] * bytes);
      type == ScalarType::Double ? add<double>(next, sum, size) : add<float>(next, sum, size);
    }
    finish(blocks[i].row, sum);
  }
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("segment_matmul", TORCH_BOX(&graphkern::segment_matmul));
  m.impl("segment_outer", TORCH_BOX(&graphkern::segment_outer));
}
#endif
