#include "../common/pairs.h"
#include "../common/row_groups.h"

namespace graphkern {

// grad, slope: [B], grad_stride apart; their product is the gradient of a score. Entries of user rows are pairs; of
// item rows they are pairs, or with j 2 b for i[b] and 2 b + 1 for j[b].
struct PairGradient {
  Pairs pairs;
  const void *grad, *slope;
  int64_t grad_stride;
};

// Sums of the groups [begin, end), one row of out each: row(group), or where `packed` row `group`.
GK_DECLARE_KERNEL(
    void, pair_gradient_user, const PairGradient&, const Groups&, bool packed, void* out, int64_t begin, int64_t end)
GK_DECLARE_KERNEL(
    void, pair_gradient_item, const PairGradient&, const Groups&, bool packed, void* out, int64_t begin, int64_t end)

namespace GK_ISA {
namespace {

// out[row of group] = sum over its entries of term(entry, feature, width); ahead(entry) is called some entries earlier.
template <typename T, typename P, typename F>
void sum_groups(
    const Groups& groups, bool packed, int64_t depth, T* out, int64_t begin, int64_t end, const P& ahead,
    const F& term) {
  using A = Accumulate<T>;
  constexpr int L = kLanes<A>;
  const int64_t last = groups.begin[end];
  int64_t next = groups.begin[begin] + kPairsAhead;  // to be prefetched
  for (int64_t group = begin; group < end; ++group) {
    const int64_t first = groups.begin[group], stop = groups.begin[group + 1];
    for (; next < stop + kPairsAhead && next < last; ++next) ahead(groups.entry(next));
    T* to = out + (packed ? group : groups.row(group)) * depth;
    for_registers<8>(0, depth, L, [&](auto registers, int64_t d, int width) {
      constexpr int kCount = decltype(registers)::value;
      Vec<A> sum[kCount] = {};
      for (int64_t place = first; place < stop; ++place) {
        term(groups.entry(place), d, width, sum, registers);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kCount; ++r) store_some<A>(sum[r], to + d + r * L, width);
    });
  }
}

template <typename T>
inline Accumulate<T> coefficient(const PairGradient& a, int64_t b) {
  const T grad = static_cast<const T*>(a.grad)[b * a.grad_stride];
  return to_accumulate(grad) * static_cast<const Accumulate<T>*>(a.slope)[b];
}

template <bool kTriple, typename T, typename I>
void user_rows(const PairGradient& a, const Groups& groups, bool packed, T* out, int64_t begin, int64_t end) {
  using A = Accumulate<T>;
  const TypedPairs<T, I> pairs(a.pairs);
  sum_groups(
      groups, packed, pairs.depth, out, begin, end, [&](int64_t b) { pairs.template prefetch_items<kTriple>(b); },
      [&](int64_t b, int64_t d, int width, Vec<A>* sum, auto registers) {
        const A scale = coefficient<T>(a, b);
#pragma GCC unroll 8
        for (int r = 0; r < decltype(registers)::value; ++r) {
          sum[r] += scale * pairs.template difference<kTriple>(b, d + r * kLanes<A>, width);
        }
      });
}

template <bool kTriple, typename T, typename I>
void item_rows(const PairGradient& a, const Groups& groups, bool packed, T* out, int64_t begin, int64_t end) {
  using A = Accumulate<T>;
  const TypedPairs<T, I> pairs(a.pairs);
  const auto pair_of = [](int64_t entry) { return kTriple ? entry >> 1 : entry; };
  sum_groups(
      groups, packed, pairs.depth, out, begin, end,
      [&](int64_t entry) { prefetch(pairs.user_row(pair_of(entry)), pairs.depth * sizeof(T)); },
      [&](int64_t entry, int64_t d, int width, Vec<A>* sum, auto registers) {
        const A of_score = coefficient<T>(a, pair_of(entry));
        const A scale = kTriple && (entry & 1) ? -of_score : of_score;
        const T* user = pairs.user_row(pair_of(entry)) + d;
#pragma GCC unroll 8
        for (int r = 0; r < decltype(registers)::value; ++r) sum[r] += scale * load_some(user + r * kLanes<A>, width);
      });
}

template <typename F>
void dispatch_gradient(const PairGradient& a, const F& f) {
  dispatch_value_index(a.pairs.value, a.pairs.is_64bit, [&](auto t, auto i) {
    a.pairs.j ? f(std::true_type{}, t, i) : f(std::false_type{}, t, i);
  });
}

}  // namespace

void pair_gradient_user(
    const PairGradient& a, const Groups& groups, bool packed, void* out, int64_t begin, int64_t end) {
  dispatch_gradient(a, [&](auto triple, auto t, auto i) {
    using T = typename decltype(t)::type;
    user_rows<decltype(triple)::value, T, typename decltype(i)::type>(
        a, groups, packed, static_cast<T*>(out), begin, end);
  });
}

void pair_gradient_item(
    const PairGradient& a, const Groups& groups, bool packed, void* out, int64_t begin, int64_t end) {
  dispatch_gradient(a, [&](auto triple, auto t, auto i) {
    using T = typename decltype(t)::type;
    item_rows<decltype(triple)::value, T, typename decltype(i)::type>(
        a, groups, packed, static_cast<T*>(out), begin, end);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
namespace graphkern {
namespace {

// The gradients of both tables for one batch: entries grouped by row, then one sum a row.
class PairGradients {
 public:
  PairGradients(
      const Tensor& grad, const Tensor& slope, const Tensor& user, const Tensor& item, const Tensor& u, const Tensor& i,
      const std::optional<Tensor>& j, bool need_user, bool need_item)
      : tensors_{as_contiguous(user), as_contiguous(item), as_contiguous(u), as_contiguous(i), as_contiguous(slope)},
        other_(as_contiguous(j)),
        args_{
            checked_pairs(tensors_[0], tensors_[1], tensors_[2], tensors_[3], other_), pointer(grad),
            pointer(tensors_[4]), 1} {
    const int64_t batch = u.size(0);
    STD_TORCH_CHECK(
        grad.dim() == 1 && grad.size(0) == batch && grad.scalar_type() == user.scalar_type() && slope.dim() == 1 &&
            slope.size(0) == batch && slope.scalar_type() == accumulate_type(user),
        "grad and slope must be [B], slope what the forward pass returned");
    args_.grad_stride = grad.stride(0);
    const int64_t threads = need_user && need_item ? useful_threads(batch * kSortOperations) : 1;
    parallel_tasks(2, threads, [&](int64_t side) {
      if (side == 0 ? need_item : need_user) {
        baseline::dispatch_index(
            args_.pairs.is_64bit, [&](auto index) { group<typename decltype(index)::type>(side == 0, batch); });
      }
    });
  }

  const std::optional<RowGroups>& user() const { return user_; }
  const std::optional<RowGroups>& item() const { return item_; }

  // Writes the rows that the batch names. packed: one after the other, else where they are in the table.
  void sum(bool packed, void* user_out, void* item_out) const {
    const int64_t batch = tensors_[2].size(0), sides = (user_ ? 1 : 0) + (item_ ? 2 : 0);
    const int64_t threads = useful_threads(batch * (args_.pairs.depth + 16) * sides);
    const int64_t chunks = threads == 1 ? 1 : threads * kChunksPerThread;
    const auto run = [&](const std::optional<RowGroups>& groups, auto kernel, void* out, int64_t chunk) {
      if (!groups) return;
      const int64_t begin = groups->chunk_bound(chunk, chunks), end = groups->chunk_bound(chunk + 1, chunks);
      kernel(args_, **groups, packed, out, begin, end);
    };
    parallel_tasks(2 * chunks, threads, [&](int64_t task) {
      if (task < chunks) return run(item_, GK_KERNEL(pair_gradient_item), item_out, task);
      run(user_, GK_KERNEL(pair_gradient_user), user_out, task - chunks);
    });
  }

 private:
  static constexpr int64_t kSortOperations = 16, kChunksPerThread = 8;

  template <typename I>
  void group(bool of_items, int64_t batch) {
    const I *u = static_cast<const I*>(args_.pairs.u), *i = static_cast<const I*>(args_.pairs.i);
    const I* j = static_cast<const I*>(args_.pairs.j);
    if (!of_items) {
      user_.emplace(batch, tensors_[0].size(0), [u](int64_t b) { return u[b]; });
    } else if (j) {
      item_.emplace(2 * batch, tensors_[1].size(0), [i, j](int64_t entry) {
        const int64_t b = entry >> 1;
        return entry & 1 ? j[b] : i[b];
      });
    } else {
      item_.emplace(batch, tensors_[1].size(0), [i](int64_t b) { return i[b]; });
    }
  }

  std::array<Tensor, 5> tensors_;  // user, item, u, i, slope
  std::optional<Tensor> other_;
  PairGradient args_;
  std::optional<RowGroups> user_, item_;
};

// Zeros for a table of which few rows are written, or nothing.
Tensor zeros(const Tensor& table, bool needed) {
  if (!needed) return allocate({0}, table.scalar_type());
  Tensor out = allocate({table.size(0), table.size(1)}, table.scalar_type());
  constexpr int64_t kBlock = 1 << 20;
  const int64_t bytes = out.numel() * int64_t(out.element_size()), blocks = (bytes + kBlock - 1) / kBlock;
  char* data = static_cast<char*>(out.mutable_data_ptr());
  parallel_tasks(blocks, useful_threads(bytes / 16), [&](int64_t block) {
    std::fill_n(data + block * kBlock, std::min(kBlock, bytes - block * kBlock), 0);
  });
  return out;
}

// user: [U, D], item: [I, D], grad, slope, u, i, j: [B]. Returns the gradients [U, D] and [I, D], [0] where not needed
std::tuple<Tensor, Tensor> pair_gradient(
    const Tensor& grad, const Tensor& slope, const Tensor& user, const Tensor& item, const Tensor& u, const Tensor& i,
    const std::optional<Tensor>& j, bool need_user, bool need_item) {
  const PairGradients gradients(grad, slope, user, item, u, i, j, need_user, need_item);
  Tensor grad_user = zeros(user, need_user), grad_item = zeros(item, need_item);
  gradients.sum(false, grad_user.mutable_data_ptr(), grad_item.mutable_data_ptr());
  return {grad_user, grad_item};
}

// As above, only the rows that the batch names: their numbers [1, n], ascending, and the rows [n, D], of both tables.
std::tuple<Tensor, Tensor, Tensor, Tensor> pair_gradient_rows(
    const Tensor& grad, const Tensor& slope, const Tensor& user, const Tensor& item, const Tensor& u, const Tensor& i,
    const std::optional<Tensor>& j, bool need_user, bool need_item) {
  const PairGradients gradients(grad, slope, user, item, u, i, j, need_user, need_item);
  const auto make = [&](const std::optional<RowGroups>& groups) {
    const int64_t count = groups ? (*groups)->count : 0;
    Tensor rows = allocate({1, count}, ScalarType::Long), values = allocate({count, user.size(1)}, user.scalar_type());
    if (groups) groups->rows(static_cast<int64_t*>(rows.mutable_data_ptr()));
    return std::pair(rows, values);
  };
  auto [user_rows, user_values] = make(gradients.user());
  auto [item_rows, item_values] = make(gradients.item());
  gradients.sum(true, user_values.mutable_data_ptr(), item_values.mutable_data_ptr());
  return {user_rows, user_values, item_rows, item_values};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("pair_gradient", TORCH_BOX(&graphkern::pair_gradient));
  m.impl("pair_gradient_rows", TORCH_BOX(&graphkern::pair_gradient_rows));
}
#endif
