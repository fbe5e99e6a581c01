#include "../common/rows.h"
#include "../common/scatter.h"

namespace graphkern {

// sum: [rows.end - rows.begin, width] in the accumulation type, count: [rows.end - rows.begin] or null; both are set to
// 0 first.
GK_DECLARE_KERNEL(bool, scatter_add, const ScatterArgs&, Range entries, Range rows, void* sum, int64_t* count)
// out[r] = the sum over parts of sum[part][r], divided by that of their counts where there are some. sum: [parts, all
// rows, width], count: [parts, all rows] or null; out: [all rows, width]
GK_DECLARE_KERNEL(
    void, scatter_finish, const ScatterArgs&, Range rows, int64_t parts, const void* sum, const int64_t* count,
    void* out)

namespace GK_ISA {
namespace {

// Calls f(row, entry) for the entries, whichever rows they go to. Returns whether every index was in range; entries
// whose index is not are passed over. ahead(row, entry) is called some entries earlier.
template <bool kElements, typename I, typename P, typename F>
inline bool each_entry(const ScatterArgs& a, Range entries, const P& ahead, const F& f) {
  constexpr int64_t kAhead = 8;
  const I* index = static_cast<const I*>(a.index);
  const int64_t columns = kElements ? a.features : 1;
  int64_t column = kElements ? entries.begin % columns : 0;
  bool good = true;
  for (int64_t e = entries.begin; e < entries.end; ++e) {
    const int64_t value = index[e];
    if (e + kAhead < entries.end) ahead(int64_t(index[e + kAhead]) * columns + column, e + kAhead);
    if (uint64_t(value) < uint64_t(a.num_rows)) {
      f(value * columns + column, e);
    } else {
      good = false;
    }
    if constexpr (kElements) column = column + 1 == columns ? 0 : column + 1;
  }
  return good;
}

template <bool kElements, typename T, typename I, typename W>
inline bool add_all(const ScatterArgs& a, Range entries, W width, Accumulate<T>* sum, int64_t* count) {
  const T* src = static_cast<const T*>(a.src);
  const auto ahead = [&](int64_t row, int64_t entry) {
    if (width <= 2) return;
    __builtin_prefetch(sum + row * width, 1);
    __builtin_prefetch(src + entry * width);
  };
  const auto add = [&](int64_t row, int64_t entry) {
    for (int64_t k = 0; k < width; ++k) sum[row * width + k] += to_accumulate(src[entry * width + k]);
  };
  if (!count) return each_entry<kElements, I>(a, entries, ahead, add);
  return each_entry<kElements, I>(a, entries, ahead, [&](int64_t row, int64_t entry) {
    add(row, entry);
    ++count[row];
  });
}

template <typename T, typename I, typename W>
inline bool add_range(const ScatterArgs& a, Range entries, Range rows, W width, Accumulate<T>* sum, int64_t* count) {
  constexpr int kAhead = 8;
  return pick<I>(a, entries, rows, [&](const Picked& p) {
    const T* src = static_cast<const T*>(a.src) + p.first * width;
    for (int i = 0; i < p.count; ++i) {
      if (width > 2 && i + kAhead < p.count) {
        __builtin_prefetch(sum + p.row[i + kAhead] * width, 1);
        __builtin_prefetch(src + p.entry[i + kAhead] * width);
      }
      const T* from = src + p.entry[i] * width;
      Accumulate<T>* to = sum + p.row[i] * width;
      for (int64_t k = 0; k < width; ++k) to[k] += to_accumulate(from[k]);
    }
    for (int i = 0; count && i < p.count; ++i) ++count[p.row[i]];
  });
}

// out[i] = sums[i] + sums[stride + i] + ... for i in [begin, end)
template <typename T>
inline void merge(const Accumulate<T>* sums, int64_t parts, int64_t stride, int64_t begin, int64_t end, T* out) {
  constexpr int64_t kBlock = 512;
  for (int64_t first = begin; first < end; first += kBlock) {
    const int64_t size = end - first < kBlock ? end - first : kBlock;
    Accumulate<T> total[kBlock];
    std::memcpy(total, sums + first, size * sizeof(total[0]));
    for (int64_t part = 1; part < parts; ++part) {
      for (int64_t i = 0; i < size; ++i) total[i] += sums[part * stride + first + i];
    }
    for (int64_t i = 0; i < size; ++i) from_accumulate(total[i], out + first + i);
  }
}

}  // namespace

bool scatter_add(const ScatterArgs& a, Range entries, Range rows, void* sum, int64_t* count) {
  bool good = true;
  dispatch_value_index(a.value, a.is_64bit, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    using I = typename decltype(i)::type;
    Accumulate<T>* sums = static_cast<Accumulate<T>*>(sum);
    const int64_t size = rows.end - rows.begin;
    std::memset(sum, 0, size * a.width() * sizeof(*sums));
    if (count) std::memset(count, 0, size * sizeof(int64_t));
    with_width(a.width(), [&](auto width) {
      if (size < a.rows()) {
        good = add_range<T, I>(a, entries, rows, width, sums, count);
      } else if (a.elements) {
        good = add_all<true, T, I>(a, entries, width, sums, count);
      } else {
        good = add_all<false, T, I>(a, entries, width, sums, count);
      }
    });
  });
  return good;
}

void scatter_finish(const ScatterArgs& a, Range rows, int64_t parts, const void* sum, const int64_t* count, void* out) {
  dispatch_value(a.value, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const int64_t width = a.width(), all = a.rows();
    const A* sums = static_cast<const A*>(sum);
    T* to = static_cast<T*>(out);
    if (!count) return merge(sums, parts, all * width, rows.begin * width, rows.end * width, to);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      int64_t entries = 0;
      for (int64_t part = 0; part < parts; ++part) entries += count[part * all + row];
      for (int64_t i = row * width; i < (row + 1) * width; ++i) {
        A total = 0;
        for (int64_t part = 0; part < parts; ++part) total += sums[part * all * width + i];
        from_accumulate(entries > 1 ? total / A(entries) : total, to + i);
      }
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
Tensor gather_sorted(const Tensor& src, const Tensor& index, int64_t num_rows, const std::string& reduce) {
  const auto [indptr, permutation] = counting_sort(index, num_rows);
  const std::optional<Tensor> none;
  return torch::stable::detail::to<Tensor>(
      call_op("graphkern::spmm", indptr, permutation, none, none, none, none, src, none, reduce)[0]);
}

// out: [num_rows, features] of one batch; alone: no other batch is worked on meanwhile.
bool scatter_one(const ScatterArgs& a, bool mean, bool alone, char* out) {
  const auto add = GK_KERNEL(scatter_add);
  const auto finish = GK_KERNEL(scatter_finish);
  const int64_t bytes = a.value == Value::f64 ? 8 : 4, rows = a.rows(), width = a.width();
  const bool accumulates = !mean && (a.value == Value::f64 || a.value == Value::f32);
  const ScatterPlan plan = alone ? plan_scatter(a) : ScatterPlan{1, {0, rows}};
  const int64_t parts = plan.parts;
  const bool in_place = accumulates && parts == 1;
  Buffer sums(in_place ? 0 : parts * rows * width * bytes), counts(mean ? parts * rows * 8 : 0);
  char* sum = in_place ? out : sums.as<char>();
  int64_t* count = mean ? counts.as<int64_t>() : nullptr;
  const auto add_rows = [&](int64_t part, Range entries, Range range) {
    const int64_t first = part * rows + range.begin;
    return add(a, entries, range, sum + first * width * bytes, count ? count + first : nullptr);
  };
  const auto finish_rows = [&](Range range) {
    if (!in_place) finish(a, range, parts, sum, count, out);
  };
  return scatter_batch(a, plan, add_rows, finish_rows);
}

// src: [B, L, K], index: [B or 1, L, K or 1]. Returns [B, dim_size, K]
Tensor scatter_reduce(const Tensor& src, const Tensor& index, int64_t dim_size, const std::string& reduce) {
  const Tensor values = as_contiguous(src), places = as_contiguous(index);
  const Tensor out = allocate({src.size(0), dim_size, src.size(2)}, src.scalar_type());
  const auto [result, none] = scatter_batches(
      values, places, dim_size, out, nullptr,
      [&](const Tensor& one, const Tensor& where) {
        const Tensor sum = gather_sorted(one, where, dim_size, reduce);
        return std::tuple(sum, sum);
      },
      [&](const ScatterArgs& a, bool alone, char* to, char*) { return scatter_one(a, reduce == "mean", alone, to); });
  return result;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("scatter_reduce", TORCH_BOX(&graphkern::scatter_reduce)); }
#endif
