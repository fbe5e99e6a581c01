#include "../common/bounded_lanes.h"
#include "../common/column_set.h"
#include "../common/dispatch.h"

namespace graphkern {

// num draws for each of the rows number, number + 1, ...: out [count, num]. Sets have fewer than num_cols columns.
GK_DECLARE_KERNEL(
    void, draw_absent, const ColumnSet* sets, int64_t count, int64_t number, bool is_64bit, int64_t num_cols,
    int64_t num, uint64_t seed, void* out)

namespace GK_ISA {
namespace {

constexpr int kTile = 64;  // blocks of four draws

// What each rank among the absent columns of one row is as a column. Before set[k] there are set[k] - k.
template <int kLanes, typename I>
inline void find_absent(const I* set, int64_t size, const uint32_t (&rank)[kLanes], I (&column)[kLanes]) {
  int64_t at[kLanes] = {};
  for (int64_t half; size > 1; size -= half) {
    half = size / 2;
    for (int lane = 0; lane < kLanes; ++lane) {
      const int64_t middle = at[lane] + half;
      at[lane] = set[middle - 1] - (middle - 1) <= int64_t(rank[lane]) ? middle : at[lane];
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool last = size == 1 && set[at[lane]] - at[lane] <= int64_t(rank[lane]);
    column[lane] = I(int64_t(rank[lane]) + at[lane] + last);
  }
}

// kLanes: draws of a block that are of use
template <int kLanes, typename I>
void draw(const ColumnSet* sets, int64_t count, int64_t number, int64_t num_cols, int64_t num, uint64_t seed, I* out) {
  const int64_t blocks = (num + 3) / 4, total = count * blocks;  // a block is four draws of a row
  uint64_t block[kTile] = {}, attempt[kTile] = {}, of[kTile] = {}, words[4][kTile];
  int64_t row = 0, first = 0;  // of the next block
  for (int64_t begin = 0; begin < total; begin += kTile) {
    const int size = total - begin < kTile ? int(total - begin) : kTile;
    int64_t next_row = row, next = first;
    for (int i = 0; i < size; ++i) {
      block[i] = uint64_t(next++);
      of[i] = uint64_t(number + next_row);
      if (next == blocks) next = 0, ++next_row;
    }
    draw_blocks(block, attempt, of, size, seed, words);
    for (int i = 0; i < size; ++i) {
      const ColumnSet& set = sets[of[i] - uint64_t(number)];
      const uint32_t absent = uint32_t(num_cols - set.size);
      const int64_t drawn = int64_t(block[i]) * 4;
      uint32_t rank[kLanes];
      I column[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) rank[lane] = bounded(words[lane][i], absent, drawn + lane, of[i], seed);
      find_absent(static_cast<const I*>(set.columns), set.size, rank, column);
      I* to = out + (of[i] - uint64_t(number)) * num + drawn;
      for (int lane = 0; lane < kLanes && drawn + lane < num; ++lane) to[lane] = column[lane];
    }
    row = next_row;
    first = next;
  }
}

}  // namespace

void draw_absent(
    const ColumnSet* sets, int64_t count, int64_t number, bool is_64bit, int64_t num_cols, int64_t num, uint64_t seed,
    void* out) {
  dispatch_index(is_64bit, [&](auto i) {
    auto* to = static_cast<typename decltype(i)::type*>(out);
    if (num == 1) return draw<1>(sets, count, number, num_cols, num, seed, to);
    draw<4>(sets, count, number, num_cols, num, seed, to);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include <atomic>
#include <deque>

#include "../common/index_checks.h"
#include "../common/parallel.h"

namespace graphkern {
namespace {

constexpr int64_t kRows = 256;  // rows that are drawn together

struct Negatives {
  const void *indptr, *indices, *rows;
  void* out;
  int64_t num_cols, num;
  bool distinct;
  uint64_t seed;
};

// Rows [begin, end). Returns a row that has every column, or -1.
template <typename I>
int64_t draw_rows(const Negatives& n, int64_t begin, int64_t end) {
  const I *indptr = static_cast<const I*>(n.indptr), *rows = static_cast<const I*>(n.rows);
  const I* indices = static_cast<const I*>(n.indices);
  ColumnSet sets[kRows];
  std::deque<std::vector<I>> scratch;
  for (int64_t r = begin; r < end; ++r) __builtin_prefetch(indptr + rows[r]);
  for (int64_t r = begin; r < end; ++r) {
    const int64_t first = indptr[rows[r]], size = indptr[rows[r] + 1] - first;
    sets[r - begin] = {indices + first, size};
    if (!n.distinct) sets[r - begin] = column_set(indices + first, size, scratch.emplace_back());
    __builtin_prefetch(indices + first + size / 2);
    __builtin_prefetch(indices + first);
    if (sets[r - begin].size >= n.num_cols) return rows[r];
  }
  I* out = static_cast<I*>(n.out) + begin * n.num;
  GK_KERNEL(draw_absent)(sets, end - begin, begin, sizeof(I) == 8, n.num_cols, n.num, n.seed, out);
  return -1;
}

// See ops/sample_negatives/reference.py. Returns [R, num]
Tensor sample_negatives(
    const Tensor& indptr, const Tensor& indices, int64_t num_cols, const Tensor& rows, int64_t num, bool distinct,
    int64_t seed) {
  STD_TORCH_CHECK(num >= 0 && num < int64_t(1) << 32, "num must be in [0, 2^32) but is ", num);
  STD_TORCH_CHECK(num_cols < int64_t(1) << 32, "2^32 columns or more");
  const Tensor pointers = as_contiguous(indptr), columns = as_contiguous(indices), wanted = as_contiguous(rows);
  const int64_t count = rows.size(0);
  Tensor out = allocate({count, num}, indices.scalar_type());
  const Negatives n{pointer(pointers), pointer(columns), pointer(wanted), out.mutable_data_ptr(), num_cols, num,
                    distinct,          uint64_t(seed)};
  check_index(wanted, "rows", indptr.size(0) - 1);
  std::atomic<int64_t> full{-1};
  baseline::dispatch_index(is_64bit(indices), [&](auto i) {
    using I = typename decltype(i)::type;
    constexpr int64_t kRowOperations = 128, kDrawOperations = 32;
    const int64_t threads = useful_threads(count * (kRowOperations + num * kDrawOperations));
    const int64_t share = threads == 1 ? kRows : std::clamp<int64_t>(count / (threads * 8), 1, kRows);
    parallel_tasks((count + share - 1) / share, threads, [&](int64_t task) {
      const int64_t row = draw_rows<I>(n, task * share, std::min(count, (task + 1) * share));
      if (row >= 0) full = row;
    });
  });
  STD_TORCH_CHECK(full < 0, "row ", full.load(), " has every column");
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("sample_negatives", TORCH_BOX(&graphkern::sample_negatives)); }
#endif
