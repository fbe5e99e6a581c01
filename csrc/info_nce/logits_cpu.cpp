#include "logits.h"

namespace graphkern {
namespace GK_ISA {
namespace {

template <typename A>
inline bool above(A value, A top) {
  return value > top || value != value;  // NaN wins
}

template <typename A>
inline A exp_one(A x) {
  return exp(Vec<A>{} + x)[0];
}

// What a sum becomes when its maximum rises to `top`.
template <typename A>
inline A rescaled(A sum, A maximum, A top) {
  return sum == 0 ? A(0) : sum * exp_one(maximum - top);
}

template <typename A>
void update_rows(A* s, const A* bias, int64_t rows, int64_t columns, A* maximum, A* sum) {
  constexpr int L = kLanes<A>;
  const int64_t whole = columns / L * L;
  for (int64_t r = 0; r < rows; ++r, s += columns) {
    Vec<A> best = Vec<A>{} - A(INFINITY);
    for (int64_t c = 0; c < whole; c += L) {
      const Vec<A> value = bias ? load(s + c) + load(bias + c) : load(s + c);
      store(value, s + c);
      best = (value > best) | (value != value) ? value : best;
    }
    A top = maximum[r];
    for (int i = 0; i < L; ++i) top = above(best[i], top) ? best[i] : top;
    for (int64_t c = whole; c < columns; ++c) {
      if (bias) s[c] += bias[c];
      top = above(s[c], top) ? s[c] : top;
    }
    if (top == -A(INFINITY)) continue;  // nothing but -inf so far
    if (top == A(INFINITY)) {           // inf - inf would be NaN
      sum[r] = 1;
    } else {
      Vec<A> total = {};
      for (int64_t c = 0; c < whole; c += L) total += exp(load(s + c) - top);
      A tail = 0;
      for (int64_t c = whole; c < columns; ++c) tail += exp_one(s[c] - top);
      sum[r] = rescaled(sum[r], maximum[r], top) + (sum_lanes<kLanes<A>, 1, A>(&total)[0] + tail);
    }
    maximum[r] = top;
  }
}

// kCount registers of columns, the last with n of its lanes: neighboring cache lines of a row are read together.
template <int kCount, typename A>
void update_some_columns(const A* s, int64_t stride, int64_t rows, int n, A* maximum, A* sum) {
  constexpr int L = kLanes<A>;
  const auto at = [&](const A* from, int i) {
    return i + 1 < kCount || n == L ? load(from + i * L) : load_partial(from + i * L, n);
  };
  Vec<A> top[kCount], total[kCount], shift[kCount];
  for (int i = 0; i < kCount; ++i) top[i] = at(maximum, i);
  for (int64_t r = 0; r < rows; ++r) {
    for (int i = 0; i < kCount; ++i) {
      const Vec<A> value = at(s + r * stride, i);
      top[i] = (value > top[i]) | (value != value) ? value : top[i];
    }
  }
  for (int i = 0; i < kCount; ++i) {
    shift[i] = top[i] == Vec<A>{} - A(INFINITY) ? Vec<A>{} : top[i];  // nothing but -inf so far: exp(-inf - 0) = 0
    const Vec<A> before = at(sum, i);
    total[i] = before == Vec<A>{} ? before : before * exp(at(maximum, i) - shift[i]);
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int i = 0; i < kCount; ++i) total[i] += exp(at(s + r * stride, i) - shift[i]);
  }
  for (int i = 0; i < kCount; ++i) {
    total[i] = top[i] == Vec<A>{} + A(INFINITY) ? Vec<A>{} + A(1) : total[i];  // inf - inf would be NaN
    store_partial<A>(top[i], maximum + i * L, i + 1 < kCount ? L : n);
    store_partial<A>(total[i], sum + i * L, i + 1 < kCount ? L : n);
  }
}

template <typename A>
void update_columns(const A* s, int64_t rows, int64_t columns, A* maximum, A* sum) {
  constexpr int L = kLanes<A>, kCount = 4;
  int64_t c = 0;
  for (; c + kCount * L <= columns; c += kCount * L) {
    update_some_columns<kCount>(s + c, columns, rows, L, maximum + c, sum + c);
  }
  for (; c < columns; c += L) {
    update_some_columns<1>(s + c, columns, rows, columns - c < L ? int(columns - c) : L, maximum + c, sum + c);
  }
}

template <typename A>
void gradient(
    A* s, const A* bias, int64_t rows, int64_t columns, const A* lse, const A* grad, const A* lse_column,
    const A* grad_column) {
  constexpr int L = kLanes<A>;
  for (int64_t r = 0; r < rows; ++r, s += columns) {
    for (int64_t c = 0; c < columns; c += L) {
      const int n = columns - c < L ? int(columns - c) : L;
      const auto at = [&](const A* from) { return n == L ? load(from) : load_partial(from, n); };
      const Vec<A> logit = bias ? at(s + c) + at(bias + c) : at(s + c);
      Vec<A> weight = exp(logit - lse[r]) * grad[r];
      if (lse_column) weight += exp(logit - at(lse_column + c)) * at(grad_column + c);
      if (n == L) {
        store(weight, s + c);
      } else {
        store_partial<A>(weight, s + c, n);
      }
    }
  }
}

}  // namespace

void logits_rows(bool is_double, void* s, const void* bias, int64_t rows, int64_t columns, void* maximum, void* sum) {
  dispatch_accumulate(is_double, [&](auto tag) {
    using A = typename decltype(tag)::type;
    update_rows((A*)s, (const A*)bias, rows, columns, (A*)maximum, (A*)sum);
  });
}

void logits_columns(bool is_double, const void* s, int64_t rows, int64_t columns, void* maximum, void* sum) {
  dispatch_accumulate(is_double, [&](auto tag) {
    using A = typename decltype(tag)::type;
    update_columns((const A*)s, rows, columns, (A*)maximum, (A*)sum);
  });
}

void logits_gradient(
    bool is_double, void* s, const void* bias, int64_t rows, int64_t columns, const void* lse, const void* grad,
    const void* lse_column, const void* grad_column) {
  dispatch_accumulate(is_double, [&](auto tag) {
    using A = typename decltype(tag)::type;
    gradient(
        (A*)s, (const A*)bias, rows, columns, (const A*)lse, (const A*)grad, (const A*)lse_column,
        (const A*)grad_column);
  });
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
namespace graphkern::info_nce {

Targets::Targets(
    const std::optional<Tensor>& indptr, const Tensor& target, const std::optional<Tensor>& key_id, int64_t num_queries,
    int64_t num_keys)
    : held_indptr_(indptr ? as_contiguous(*indptr) : target),
      held_target_(as_contiguous(target)),
      indptr_(indptr ? static_cast<const int64_t*>(pointer(held_indptr_)) : nullptr),
      target_(static_cast<const int64_t*>(pointer(held_target_))) {
  STD_TORCH_CHECK(
      is_64bit(target) && (!indptr || is_64bit(*indptr)) && (!key_id || is_64bit(*key_id)),
      "target, indptr and key_id must be int64");
  STD_TORCH_CHECK(
      indptr ? indptr->size(0) == num_queries + 1 : target.size(0) == num_queries, "target must have ", num_queries,
      " rows");
  if (indptr) Segments(held_indptr_).check(target.size(0));
  check_index(target, "target", num_keys);
  if (indptr) sort_rows(num_queries);
  if (!key_id) return;
  STD_TORCH_CHECK(key_id->size(0) == num_keys, "key_id must have ", num_keys, " entries but has ", key_id->size(0));
  const Tensor ids = as_contiguous(*key_id);
  group_keys(static_cast<const int64_t*>(pointer(ids)), num_queries, num_keys);
}

void Targets::sort_rows(int64_t num_queries) {
  bool rises = true;
  for (int64_t row = 0; row < num_queries && rises; ++row) {
    rises = std::is_sorted(target_ + begin(row), target_ + end(row));
  }
  if (rises) return;
  sorted_.assign(target_, target_ + held_target_.size(0));
  for (int64_t row = 0; row < num_queries; ++row) std::sort(sorted_.data() + begin(row), sorted_.data() + end(row));
  target_ = sorted_.data();
}

void Targets::group_keys(const int64_t* key_id, int64_t num_queries, int64_t num_keys) {
  members_.resize(num_keys);
  for (int64_t key = 0; key < num_keys; ++key) members_[key] = key;
  std::sort(members_.begin(), members_.end(), [&](int64_t a, int64_t b) {
    return key_id[a] != key_id[b] ? key_id[a] < key_id[b] : a < b;
  });
  std::vector<int64_t> group_of(num_keys);
  for (int64_t i = 0; i < num_keys; ++i) {
    if (i == 0 || key_id[members_[i]] != key_id[members_[i - 1]]) group_begin_.push_back(i);
    group_of[members_[i]] = group_begin_.size() - 1;
  }
  group_begin_.push_back(num_keys);
  for (int64_t row = 0; row < num_queries; ++row) {
    row_begin_.push_back(row_groups_.size());
    for (int64_t i = begin(row); i < end(row); ++i) {
      const int64_t group = group_of[target_[i]];
      if (group_begin_[group + 1] - group_begin_[group] > 1) row_groups_.push_back(group);
    }
    const auto first = row_groups_.begin() + row_begin_[row];
    std::sort(first, row_groups_.end());
    row_groups_.erase(std::unique(first, row_groups_.end()), row_groups_.end());
  }
  row_begin_.push_back(row_groups_.size());
}

}  // namespace graphkern::info_nce
#endif
