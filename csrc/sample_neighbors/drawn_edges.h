// The edges drawn from one relation, hop after hop. Compiled once.
#pragma once

#include "../common/parallel.h"
#include "memory.h"
#include "relabel.h"
#include "sampling.h"

namespace graphkern {

// A one-dimensional tensor of indices that grows by copying; what is new is not initialised.
class Growing {
 public:
  explicit Growing(ScalarType type) : type_(type), tensor_(allocate({0}, type)) {}

  // The place of `count` more.
  char* extend(int64_t count) {
    const int64_t size = tensor_.size(0), bytes = int64_t(tensor_.element_size());
    Tensor longer = allocate({size + count}, type_);
    char* data = static_cast<char*>(longer.mutable_data_ptr());
    std::memcpy(data, tensor_.const_data_ptr(), size * bytes);
    tensor_ = longer;
    return data + size * bytes;
  }

  const Tensor& tensor() const { return tensor_; }

 private:
  ScalarType type_;
  Tensor tensor_;
};

class DrawnEdges {
 public:
  explicit DrawnEdges(ScalarType type) : edges_(type), columns_(type), bytes_(type == ScalarType::Long ? 8 : 4) {}

  const Tensor& edges() const { return edges_.tensor(); }
  const Tensor& columns() const { return columns_.tensor(); }
  std::vector<int64_t> per_hop;

  // [num_rows + 1]: rows that no hop expanded are empty.
  template <typename I>
  void write_indptr(int64_t num_rows, I* indptr) const {
    for (size_t row = 0; row < ends_.size(); ++row) indptr[row] = I(ends_[row]);
    std::fill(indptr + ends_.size(), indptr + num_rows + 1, I(ends_.back()));
  }

  // Draws the edges of a frontier of so many rows. The result holds until the next call.
  HopEdges expand(Frontier f, int64_t num_rows) {
    const Memory start(num_rows * 8), degree(num_rows * 4), offset((num_rows + 1) * 8);
    f.start = start.as<int64_t>();
    f.degree = degree.as<uint32_t>();
    f.offset = offset.as<int64_t>();
    read_rows(f, num_rows);
    const bool is_simple = f.mode == Mode::uniform && !f.relation.weight && !f.limit && f.fanout <= kBlockFanout;
    char* column = is_simple ? draw_simple(f, num_rows) : draw_general(f, num_rows);
    const int64_t count = f.offset[num_rows], before = ends_.back();
    for (int64_t row = 0; row < num_rows; ++row) ends_.push_back(before + f.offset[row + 1]);
    per_hop.push_back(count);
    return {f.relation.is_64bit, column, f.batch ? spread_batch(f, num_rows) : nullptr, count};
  }

 private:
  static constexpr int64_t kBlockRows = 256, kOperationsPerEdge = 32;

  template <typename F>
  static void for_blocks(int64_t num_rows, int64_t block, int64_t operations, const F& f) {
    parallel_tasks((num_rows + block - 1) / block, useful_threads(operations), [&](int64_t i) {
      f(i * block, std::min(num_rows, (i + 1) * block));
    });
  }

  // offset becomes where each row begins, if every row takes the most that it may.
  static void read_rows(const Frontier& f, int64_t num_rows) {
    const auto read = GK_KERNEL(read_degrees);
    std::atomic<bool> good{true};
    for_blocks(num_rows, 4096, num_rows * kOperationsPerEdge, [&](int64_t begin, int64_t end) {
      if (!read(f, begin, end)) good = false;
    });
    STD_TORCH_CHECK(good, "a row has 2^32 edges or more");
    f.offset[0] = 0;
    for (int64_t row = 0; row < num_rows; ++row) f.offset[row + 1] += f.offset[row];
  }

  char* draw_simple(const Frontier& f, int64_t num_rows) {
    const auto draw = GK_KERNEL(draw_uniform);
    const int64_t count = f.offset[num_rows];
    char *edge = edges_.extend(count), *column = columns_.extend(count);
    for_blocks(num_rows, kBlockRows, count * kOperationsPerEdge, [&](int64_t begin, int64_t end) {
      draw(f, begin, end, edge + f.offset[begin] * bytes_, column + f.offset[begin] * bytes_);
    });
    return column;
  }

  // Blocks of rows draw into memory of their own; what each took is known only then.
  char* draw_general(const Frontier& f, int64_t num_rows) {
    constexpr int64_t kRows = 64;
    const auto draw = GK_KERNEL(draw_any);
    const auto read = GK_KERNEL(read_columns);
    std::vector<std::vector<char>> drawn((num_rows + kRows - 1) / kRows);
    std::vector<int64_t> taken(num_rows);
    int64_t degrees = 0;
    for (int64_t row = 0; row < num_rows; ++row) degrees += f.degree[row];
    for_blocks(num_rows, kRows, degrees * kOperationsPerEdge, [&](int64_t begin, int64_t end) {
      const ScratchMemory scratch(*std::max_element(f.degree + begin, f.degree + end), f.fanout);
      const Memory out((f.offset[end] - f.offset[begin]) * bytes_);
      draw(f, begin, end, scratch.scratch, out.data(), taken.data() + begin);
      int64_t count = 0;
      for (int64_t row = begin; row < end; ++row) count += taken[row];
      drawn[begin / kRows].assign(out.as<char>(), out.as<char>() + count * bytes_);
    });
    for (int64_t row = 0; row < num_rows; ++row) f.offset[row + 1] = f.offset[row] + taken[row];
    const int64_t count = f.offset[num_rows];
    char *edge = edges_.extend(count), *column = columns_.extend(count);
    for_blocks(num_rows, kRows, count * kOperationsPerEdge, [&](int64_t begin, int64_t end) {
      const int64_t first = f.offset[begin] * bytes_;
      std::copy(drawn[begin / kRows].begin(), drawn[begin / kRows].end(), edge + first);
      read(f.relation, edge + first, f.offset[end] - f.offset[begin], column + first);
    });
    return column;
  }

  // The subgraph of each edge.
  const uint32_t* spread_batch(const Frontier& f, int64_t num_rows) {
    batch_.resize(f.offset[num_rows]);
    for_blocks(num_rows, 4096, f.offset[num_rows], [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        std::fill(batch_.data() + f.offset[row], batch_.data() + f.offset[row + 1], f.batch[row]);
      }
    });
    return batch_.data();
  }

  struct ScratchMemory {
    Memory memory;
    Scratch scratch;

    ScratchMemory(int64_t degree, int64_t fanout)
        : ScratchMemory(degree, std::max<int64_t>(fanout, 0), table(fanout)) {}

   private:
    static int64_t table(int64_t fanout) {
      int64_t size = 64;
      while (size < 2 * fanout) size *= 2;
      return size;
    }
    ScratchMemory(int64_t degree, int64_t k, int64_t slots)
        : memory(8 * (2 * degree + 2 * k + slots) + 4 * (2 * k + 2 * kWordPadding)) {
      int64_t* at = memory.as<int64_t>();
      scratch.eligible = at;
      scratch.sums = reinterpret_cast<double*>(at + degree);
      scratch.heap = reinterpret_cast<uint64_t*>(at + 2 * degree);
      scratch.taken = scratch.heap + 2 * k;
      scratch.taken_mask = slots - 1;
      scratch.words = reinterpret_cast<uint32_t*>(scratch.taken + slots);
      scratch.positions = scratch.words + k + kWordPadding;
    }
  };

  Growing edges_, columns_;
  std::vector<int64_t> ends_{0};
  std::vector<uint32_t> batch_;
  int64_t bytes_;
};

}  // namespace graphkern
