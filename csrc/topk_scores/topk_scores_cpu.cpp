#include "../common/dispatch.h"

namespace graphkern {

// Appends the scores above `threshold` and their columns (first + position) to `values` and `columns`; returns how
// many. Room for `size` entries is needed. NaN is never above.
GK_DECLARE_KERNEL(
    int64_t, select_above, bool is_double, const void* scores, int64_t size, double threshold, int64_t first,
    void* values, int64_t* columns)

namespace GK_ISA {
namespace {

template <typename A>
int64_t select(const A* scores, int64_t size, A threshold, int64_t first, A* values, int64_t* columns) {
  constexpr int L = kLanes<A>;
  int64_t found = 0, c = 0;
  for (; c + L <= size; c += L) {
    const auto above = load(scores + c) > threshold;
    int any = 0;
    for (int i = 0; i < L; ++i) any |= int(above[i]);
    if (!any) continue;
    for (int i = 0; i < L; ++i) {
      values[found] = scores[c + i];
      columns[found] = first + c + i;
      found += above[i] ? 1 : 0;
    }
  }
  for (; c < size; ++c) {
    values[found] = scores[c];
    columns[found] = first + c;
    found += scores[c] > threshold ? 1 : 0;
  }
  return found;
}

}  // namespace

int64_t select_above(
    bool is_double, const void* scores, int64_t size, double threshold, int64_t first, void* values, int64_t* columns) {
  if (is_double) return select((const double*)scores, size, threshold, first, (double*)values, columns);
  return select((const float*)scores, size, float(threshold), first, (float*)values, columns);
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include <cmath>

#include "../common/matmul.h"

namespace graphkern {
namespace {

constexpr int64_t kRowBlock = 64;       // queries a product
constexpr int64_t kColumnBlock = 1024;  // items a product: 64 x 1024 floats stay in the second-level cache

// The best `k` of the scores seen so far for one query, unordered; a column seen later loses a tie.
template <typename A>
class Best {
 public:
  Best(A* values, int64_t* columns, int64_t k) : values_(values), columns_(columns), k_(k) {}

  void take(const A* scores, int64_t size, int64_t first) {
    count_ += GK_KERNEL(select_above)(
        std::is_same_v<A, double>, scores, size, threshold_, first, values_ + count_, columns_ + count_);
    if (count_ <= k_) return;
    order();
    count_ = k_;
    threshold_ = values_[k_ - 1];
  }

  // Sorts by value, then by column.
  void order() {
    order_.resize(count_);
    for (int64_t i = 0; i < count_; ++i) order_[i] = {values_[i], columns_[i]};
    const auto before = [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    };
    const int64_t kept = std::min(count_, k_);
    std::nth_element(order_.begin(), order_.begin() + (kept - 1), order_.end(), before);
    std::sort(order_.begin(), order_.begin() + kept, before);
    for (int64_t i = 0; i < kept; ++i) std::tie(values_[i], columns_[i]) = order_[i];
  }

  int64_t count() const { return count_; }

 private:
  A* values_;
  int64_t* columns_;
  int64_t k_, count_ = 0;
  double threshold_ = -INFINITY;
  std::vector<std::pair<A, int64_t>> order_;
};

// The columns that one query leaves out, in rising order.
class Excluded {
 public:
  template <typename I>
  void reset(const I* begin, const I* end) {
    columns_.assign(begin, end);
    if (!std::is_sorted(columns_.begin(), columns_.end())) std::sort(columns_.begin(), columns_.end());
    next_ = 0;
  }

  template <typename A>
  void mask(A* scores, int64_t size, int64_t first) {
    for (; next_ < columns_.size() && columns_[next_] < first + size; ++next_) {
      scores[columns_[next_] - first] = -INFINITY;
    }
  }

 private:
  std::vector<int64_t> columns_;
  size_t next_ = 0;
};

template <typename A>
class TopK {
 public:
  TopK(
      const Tensor& query, const Tensor& item, int64_t k, const std::optional<Tensor>& indptr,
      const std::optional<Tensor>& indices, Tensor& values, Tensor& columns)
      : type_(accumulate_type(query)),
        value_(value_of(query)),
        queries_(query, 1),
        items_(item, 1),
        num_queries_(query.size(0)),
        num_items_(item.size(0)),
        k_(k),
        indptr_(indptr),
        indices_(indices),
        values_(static_cast<char*>(values.mutable_data_ptr())),
        columns_(static_cast<int64_t*>(columns.mutable_data_ptr())) {}

  void run() const {
    parallel_blocks((num_queries_ + kRowBlock - 1) / kRowBlock, [&](int64_t block) {
      rows(block * kRowBlock, std::min(kRowBlock, num_queries_ - block * kRowBlock));
    });
  }

 private:
  void rows(int64_t first, int64_t count) const {
    const int64_t room = k_ + std::min(kColumnBlock, num_items_), depth = items_.columns;
    Buffer scores(kRowBlock * kColumnBlock * sizeof(A)), wide_query(kRowBlock * depth * sizeof(A));
    Buffer wide_item(kColumnBlock * depth * sizeof(A)), values(count * room * sizeof(A)), columns(count * room * 8);
    std::vector<Best<A>> best;
    std::vector<Excluded> excluded(indptr_ ? count : 0);
    for (int64_t r = 0; r < count; ++r) {
      best.emplace_back(values.as<A>(r * room), columns.as<int64_t>(r * room), k_);
      if (indptr_) exclude(first + r, excluded[r]);
    }
    const Matrix q = queries_.rows(first, count, wide_query.raw());
    for (int64_t column = 0; column < num_items_; column += kColumnBlock) {
      const int64_t width = std::min(kColumnBlock, num_items_ - column);
      const Matrix block = items_.rows(column, width, wide_item.raw());
      matmul(row_major(scores.as<A>(), count, width), q, transposed(block), type_);
      for (int64_t r = 0; r < count; ++r) {
        A* row = scores.as<A>(r * width);
        if (indptr_) excluded[r].mask(row, width, column);
        best[r].take(row, width, column);
      }
    }
    for (int64_t r = 0; r < count; ++r)
      write(first + r, best[r], values.as<A>(r * room), columns.as<int64_t>(r * room));
  }

  void exclude(int64_t row, Excluded& excluded) const {
    baseline::dispatch_index(is_64bit(*indptr_), [&](auto i) {
      using I = typename decltype(i)::type;
      const I* indptr = static_cast<const I*>(pointer(*indptr_));
      const I* indices = static_cast<const I*>(pointer(*indices_));
      excluded.reset(indices + indptr[row], indices + indptr[row + 1]);
    });
  }

  void write(int64_t row, Best<A>& best, A* values, int64_t* columns) const {
    if (best.count() > 0) best.order();
    for (int64_t i = best.count(); i < k_; ++i) {
      values[i] = -INFINITY;
      columns[i] = -1;
    }
    GK_KERNEL(narrow)(value_, values, values_ + row * k_ * queries_.bytes, k_);
    std::copy_n(columns, k_, columns_ + row * k_);
  }

  ScalarType type_;
  Value value_;
  Operand queries_, items_;
  int64_t num_queries_, num_items_, k_;
  const std::optional<Tensor>&indptr_, &indices_;
  char* values_;
  int64_t* columns_;
};

// query: [B, D], item: [N, D], indptr: [B + 1], indices: excluded columns. Returns values and columns, [B, k]
std::tuple<Tensor, Tensor> topk_scores(
    const Tensor& query, const Tensor& item, int64_t k, const std::optional<Tensor>& indptr,
    const std::optional<Tensor>& indices) {
  const Tensor q = as_contiguous(query), items = as_contiguous(item);
  Tensor values = allocate({query.size(0), k}, query.scalar_type());
  Tensor columns = allocate({query.size(0), k}, ScalarType::Long);
  if (accumulate_type(query) == ScalarType::Double) {
    TopK<double>(q, items, k, indptr, indices, values, columns).run();
  } else {
    TopK<float>(q, items, k, indptr, indices, values, columns).run();
  }
  return {values, columns};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("topk_scores", TORCH_BOX(&graphkern::topk_scores)); }
#endif
