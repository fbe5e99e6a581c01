#include "../common/extremum.h"
#include "../common/scatter.h"

namespace graphkern {

// best: [rows.end - rows.begin, width] in the accumulation type, entry: the same, the entry that gave it or -1.
GK_DECLARE_KERNEL(bool, scatter_best, const ScatterArgs&, bool largest, Range entries, Range rows, void* best, int64_t*)
// The best over parts of best[part][r]. best, entry: [parts, all rows, width]; out, arg: [all rows, width], arg the
// position in length or -1, in the index type.
GK_DECLARE_KERNEL(
    void, scatter_best_finish, const ScatterArgs&, bool largest, Range rows, int64_t parts, const void* best,
    const int64_t* entry, void* out, void* arg)
// arg[i] = permutation[arg[i]] where it is not -1
GK_DECLARE_KERNEL(void, permuted, bool is_64bit, const void* permutation, void* arg, int64_t begin, int64_t end)

namespace GK_ISA {
namespace {

template <bool kLargest, typename T, typename W>
inline void best_picked(const Picked& p, const T* src, W width, Accumulate<T>* best, int64_t* entry) {
  using A = Accumulate<T>;
  constexpr int kAhead = 8;
  for (int i = 0; i < p.count; ++i) {
    if (i + kAhead < p.count) {
      __builtin_prefetch(best + p.row[i + kAhead] * width, 1);
      __builtin_prefetch(entry + p.row[i + kAhead] * width, 1);
      __builtin_prefetch(src + p.entry[i + kAhead] * width);
    }
    const T* from = src + p.entry[i] * width;
    A* top = best + p.row[i] * width;
    int64_t* winner = entry + p.row[i] * width;
    const int64_t here = p.first + p.entry[i];
    for (int64_t k = 0; k < width; ++k) {
      const A value = to_accumulate(from[k]);
      const bool wins = beats<kLargest>(value, top[k]) | (winner[k] < 0);
      top[k] = wins ? value : top[k];
      winner[k] = wins ? here : winner[k];
    }
  }
}

template <bool kLargest, typename T, typename I>
void finish(
    const ScatterArgs& a, Range rows, int64_t parts, const Accumulate<T>* best, const int64_t* entry, T* out, I* arg) {
  using A = Accumulate<T>;
  const int64_t width = a.width(), all = a.rows() * width, columns = a.elements ? a.features : 1;
  for (int64_t i = rows.begin * width; i < rows.end * width; ++i) {
    A top = 0;
    int64_t winner = -1;
    for (int64_t part = 0; part < parts; ++part) {
      const A value = best[part * all + i];
      const int64_t here = entry[part * all + i];
      const bool wins = (here >= 0) & (beats<kLargest>(value, top) | (winner < 0));
      top = wins ? value : top;
      winner = wins ? here : winner;
    }
    from_accumulate(top, out + i);
    arg[i] = I(winner < 0 || columns == 1 ? winner : winner / columns);
  }
}

// Calls f(value type, index type, whether the largest wins as a constant).
template <typename F>
void dispatch(const ScatterArgs& a, bool largest, const F& f) {
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    if (largest) {
      f(t, i, std::true_type{});
    } else {
      f(t, i, std::false_type{});
    }
  });
}

}  // namespace

bool scatter_best(const ScatterArgs& a, bool is_max, Range entries, Range rows, void* best, int64_t* entry) {
  bool good = true;
  dispatch(a, is_max, [&](auto t, auto i, auto largest) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const int64_t size = (rows.end - rows.begin) * a.width();
    std::memset(best, 0, size * sizeof(A));
    std::memset(entry, 0xff, size * sizeof(int64_t));
    with_width(a.width(), [&](auto width) {
      good = pick<typename decltype(i)::type>(a, entries, rows, [&](const Picked& p) {
        const T* src = static_cast<const T*>(a.src) + p.first * width;
        best_picked<largest.value>(p, src, width, static_cast<A*>(best), entry);
      });
    });
  });
  return good;
}

void scatter_best_finish(
    const ScatterArgs& a, bool is_max, Range rows, int64_t parts, const void* best, const int64_t* entry, void* out,
    void* arg) {
  dispatch(a, is_max, [&](auto t, auto i, auto largest) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    finish<largest.value, T, I>(
        a, rows, parts, static_cast<const Accumulate<T>*>(best), entry, static_cast<T*>(out), static_cast<I*>(arg));
  });
}

void permuted(bool is_64bit, const void* permutation, void* arg, int64_t begin, int64_t end) {
  dispatch_index(is_64bit, [&](auto i) {
    using I = typename decltype(i)::type;
    I* args = static_cast<I*>(arg);
    for (int64_t at = begin; at < end; ++at) {
      if (args[at] >= 0) args[at] = static_cast<const I*>(permutation)[args[at]];
    }
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/matmul.h"
#include "../common/scatter_plan.h"

namespace graphkern {
namespace {

// index: [L], src: [L, K]. Sorted by row, every row is one of a graph whose columns are the entries.
std::tuple<Tensor, Tensor> best_sorted(
    const Tensor& src, const Tensor& index, int64_t num_rows, const std::string& reduce) {
  const auto [indptr, permutation] = counting_sort(index, num_rows);
  const std::optional<Tensor> none;
  const auto stack =
      call_op("graphkern::spmm_extremum", indptr, permutation, none, none, none, src, none, reduce, true);
  const Tensor out = torch::stable::detail::to<Tensor>(stack[0]);
  Tensor arg = torch::stable::detail::to<Tensor>(stack[1]);
  constexpr int64_t kBlock = 16384;
  const int64_t size = arg.numel();
  const void* order = pointer(permutation);
  void* args = arg.mutable_data_ptr();
  const auto kernel = GK_KERNEL(permuted);
  parallel_tasks((size + kBlock - 1) / kBlock, useful_threads(size), [&](int64_t i) {
    kernel(is_64bit(index), order, args, i * kBlock, std::min(size, (i + 1) * kBlock));
  });
  return {out, arg};
}

// out, arg: [num_rows, features] of one batch; alone: no other batch is worked on meanwhile.
bool best_one(const ScatterArgs& a, bool largest, bool alone, char* out, char* arg) {
  const auto add = GK_KERNEL(scatter_best);
  const auto finish = GK_KERNEL(scatter_best_finish);
  const int64_t bytes = a.value == Value::f64 ? 8 : 4, rows = a.rows(), width = a.width();
  const ScatterPlan plan = alone ? plan_scatter(a) : ScatterPlan{1, {0, rows}};
  Buffer bests(plan.parts * rows * width * bytes), entries(plan.parts * rows * width * 8);
  return scatter_batch(
      a, plan,
      [&](int64_t part, Range taken, Range range) {
        const int64_t first = (part * rows + range.begin) * width;
        return add(a, largest, taken, range, bests.as<char>(first * bytes), entries.as<int64_t>(first));
      },
      [&](Range range) { finish(a, largest, range, plan.parts, bests.raw(), entries.as<int64_t>(), out, arg); });
}

// src: [B, L, K], index: [B or 1, L, K or 1]. Returns out and arg, [B, dim_size, K]
std::tuple<Tensor, Tensor> scatter_extremum(
    const Tensor& src, const Tensor& index, int64_t dim_size, const std::string& reduce) {
  const Tensor values = as_contiguous(src), places = as_contiguous(index);
  Tensor out = allocate({src.size(0), dim_size, src.size(2)}, src.scalar_type());
  Tensor arg = allocate({src.size(0), dim_size, src.size(2)}, index.scalar_type());
  return scatter_batches(
      values, places, dim_size, out, &arg,
      [&](const Tensor& one, const Tensor& where) { return best_sorted(one, where, dim_size, reduce); },
      [&](const ScatterArgs& a, bool alone, char* to, char* to_arg) {
        return best_one(a, reduce == "max", alone, to, to_arg);
      });
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("scatter_extremum", TORCH_BOX(&graphkern::scatter_extremum)); }
#endif
