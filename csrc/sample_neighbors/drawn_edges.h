// The edges drawn from one relation, hop after hop. Compiled once.
#pragma once

#include "../common/parallel.h"
#include "found_nodes.h"
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

  // Draws the edges of the frontier of `rows` and renumbers the nodes that they lead to. f: what does not depend on it
  void expand(Frontier f, const FoundNodes& rows, FoundNodes& found) {
    const int64_t num_rows = rows.frontier_size();
    const Memory start(num_rows * 8), degree(num_rows * 4), offset((num_rows + 1) * 8);
    f.start = start.as<int64_t>();
    f.degree = degree.as<uint32_t>();
    f.offset = offset.as<int64_t>();
    f.node = rows.frontier_nodes();
    f.batch = rows.frontier_batches();
    read_rows(f, num_rows);
    const bool is_simple = f.mode == Mode::uniform && !f.relation.weight && !f.limit && f.fanout <= kBlockFanout;
    is_simple ? draw_simple(f, rows, found) : draw_general(f, num_rows, found);
    const size_t known = ends_.size();
    ends_.resize(known + num_rows);
    for (int64_t row = 0; row < num_rows; ++row) ends_[known + row] = ends_[known - 1] + f.offset[row + 1];
    per_hop.push_back(f.offset[num_rows]);
  }

 private:
  static constexpr int64_t kBlockRows = 128, kOperationsPerEdge = 32;

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

  // Blocks of rows are drawn by all threads. While they are, whichever is free renumbers those that are there, in
  // order.
  void draw_simple(Frontier f, const FoundNodes& rows, FoundNodes& found) {
    const auto draw = GK_KERNEL(draw_uniform);
    const int64_t num_rows = rows.frontier_size(), count = f.offset[num_rows];
    char* edge = edges_.extend(count);
    const HopEdges hop = new_columns(f, count);
    found.make_room(count);
    f.node = rows.frontier_nodes();  // room may have been made elsewhere
    f.batch = rows.frontier_batches();
    const auto draw_rows = [&](int64_t begin, int64_t end) {
      const int64_t first = f.offset[begin] * bytes_;
      draw(f, begin, end, edge + first, static_cast<char*>(hop.column) + first);
      spread_batch(f, begin, end);
    };
    const int64_t operations = count * kOperationsPerEdge;
    if (found.is_sharded()) {
      for_blocks(num_rows, kBlockRows, operations, draw_rows);
      return found.renumber(hop);
    }
    const auto last = [&](int64_t block) { return std::min(num_rows, (block + 1) * kBlockRows); };
    parallel_then_in_order(
        (num_rows + kBlockRows - 1) / kBlockRows, useful_threads(operations),
        [&](int64_t block) { draw_rows(block * kBlockRows, last(block)); },
        [&](int64_t block) { found.renumber(part(hop, f.offset[block * kBlockRows], f.offset[last(block)])); });
  }

  // Calls task(i) for each i of [0, num_tasks) by all threads, and in_order(i) by one at a time, i ascending, each once
  // its task is done.
  template <typename F, typename G>
  static void parallel_then_in_order(int64_t num_tasks, int64_t threads, const F& task, const G& in_order) {
    std::vector<std::atomic<bool>> done(num_tasks);
    std::atomic_flag busy = ATOMIC_FLAG_INIT;
    int64_t next = 0;
    parallel_tasks(num_tasks, threads, [&](int64_t i) {
      task(i);
      done[i].store(true, std::memory_order_release);
      if (busy.test_and_set(std::memory_order_acquire)) return;
      while (next < num_tasks && done[next].load(std::memory_order_acquire)) in_order(next++);
      busy.clear(std::memory_order_release);
    });
    while (next < num_tasks) in_order(next++);
  }

  HopEdges new_columns(const Frontier& f, int64_t count) {
    if (f.batch) batch_.resize(count);
    return {f.relation.is_64bit, columns_.extend(count), f.batch ? batch_.data() : nullptr, count};
  }
  HopEdges part(const HopEdges& hop, int64_t begin, int64_t end) const {
    return {
        hop.is_64bit, static_cast<char*>(hop.column) + begin * bytes_, hop.batch ? hop.batch + begin : nullptr,
        end - begin};
  }

  // Blocks of rows draw into memory of their own; what each took is known only then.
  void draw_general(const Frontier& f, int64_t num_rows, FoundNodes& found) {
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
    char* edge = edges_.extend(f.offset[num_rows]);
    const HopEdges hop = new_columns(f, f.offset[num_rows]);
    for_blocks(num_rows, kRows, hop.count * kOperationsPerEdge, [&](int64_t begin, int64_t end) {
      const int64_t first = f.offset[begin] * bytes_;
      std::copy(drawn[begin / kRows].begin(), drawn[begin / kRows].end(), edge + first);
      read(f.relation, edge + first, f.offset[end] - f.offset[begin], static_cast<char*>(hop.column) + first);
      spread_batch(f, begin, end);
    });
    found.make_room(hop.count);
    found.renumber(hop);
  }

  // The subgraph of each edge of rows [begin, end).
  void spread_batch(const Frontier& f, int64_t begin, int64_t end) {
    if (!f.batch) return;
    for (int64_t row = begin; row < end; ++row) {
      std::fill(batch_.data() + f.offset[row], batch_.data() + f.offset[row + 1], f.batch[row]);
    }
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
