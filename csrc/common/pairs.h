// Scores of (user, item) pairs and of (user, item, other item) triples, and the losses of scores.
#pragma once

#include "rows.h"

namespace graphkern {

// user: [U, depth], item: [I, depth], u, i, j: [B]; j is null for pairs. score[b] = user[u[b]] . (item[i[b]] -
// item[j[b]])
struct Pairs {
  Value value;
  bool is_64bit;
  const void *user, *item, *u, *i, *j;
  int64_t depth;
};

namespace GK_ISA {

constexpr int64_t kPairsAhead = 8;  // prefetched: 24 rows

template <typename T, typename I>
struct TypedPairs {
  using A = Accumulate<T>;
  const T *user, *item;
  const I *u, *i, *j;
  int64_t depth;

  explicit TypedPairs(const Pairs& p)
      : user(static_cast<const T*>(p.user)),
        item(static_cast<const T*>(p.item)),
        u(static_cast<const I*>(p.u)),
        i(static_cast<const I*>(p.i)),
        j(static_cast<const I*>(p.j)),
        depth(p.depth) {}

  const T* user_row(int64_t b) const { return user + int64_t(u[b]) * depth; }
  const T* item_row(int64_t b) const { return item + int64_t(i[b]) * depth; }
  const T* other_row(int64_t b) const { return item + int64_t(j[b]) * depth; }

  // item[i[b]] - item[j[b]], features [d, d + width)
  template <bool kTriple>
  Vec<A> difference(int64_t b, int64_t d, int width) const {
    const Vec<A> own = load_some(item_row(b) + d, width);
    if constexpr (!kTriple) return own;
    return own - load_some(other_row(b) + d, width);
  }

  template <bool kTriple>
  __attribute__((always_inline)) void prefetch_items(int64_t b) const {
    prefetch(item_row(b), depth * sizeof(T));
    if constexpr (kTriple) prefetch(other_row(b), depth * sizeof(T));
  }

  // Scores of kCount pairs from b on; `end` bounds the prefetched ones.
  template <bool kTriple, int kCount>
  void scores(int64_t b, int64_t end, A* out) const {
    constexpr int L = kLanes<A>;
    for (int64_t ahead = b + kPairsAhead; ahead < b + kPairsAhead + kCount && ahead < end; ++ahead) {
      prefetch(user_row(ahead), depth * sizeof(T));
      prefetch_items<kTriple>(ahead);
    }
    Vec<A> sum[kCount] = {};
    const auto add = [&](int64_t d, int width) {
#pragma GCC unroll 4
      for (int n = 0; n < kCount; ++n) {
        sum[n] += load_some(user_row(b + n) + d, width) * difference<kTriple>(b + n, d, width);
      }
    };
    int64_t d = 0;
    for (; d + L <= depth; d += L) add(d, L);
    if (d < depth) add(d, int(depth - d));
    store_lanes<kCount, A>(sum_lanes<L, kCount, A>(sum), out);
  }

  // Calls f(first pair, how many, their scores in a register) for the pairs [begin, end).
  template <bool kTriple, typename F>
  void for_scores(int64_t begin, int64_t end, const F& f) const {
    constexpr int L = kLanes<A>, kCount = L < 4 ? 1 : 4;
    for (int64_t b = begin; b < end; b += L) {
      A score[L] = {};
      const int count = int(end - b < L ? end - b : L);
      int n = 0;
      for (; n + kCount <= count; n += kCount) scores<kTriple, kCount>(b + n, end, score + n);
      for (; n < count; ++n) scores<kTriple, 1>(b + n, end, score + n);
      f(b, count, load(score));
    }
  }
};

template <bool kTriple, typename F>
inline void dispatch_scores(const Pairs& p, int64_t begin, int64_t end, const F& f) {
  dispatch_value_index(p.value, p.is_64bit, [&](auto t, auto i) {
    using T = typename decltype(t)::type;
    const TypedPairs<T, typename decltype(i)::type> pairs(p);
    pairs.template for_scores<kTriple>(begin, end, [&](int64_t b, int count, auto score) { f(t, b, count, score); });
  });
}

// log(1 + z) for z in [0, 1]: 2 artanh(z / (2 + z)), relative error below 3e-7.
inline Vec<float> log1p_of_unit(Vec<float> z) {
  const Vec<float> zero = {}, t = z / (zero + 2.0f + z), t2 = t * t;
  Vec<float> p = zero + 2.0f / 15;
  p = p * t2 + 2.0f / 13;
  p = p * t2 + 2.0f / 11;
  p = p * t2 + 2.0f / 9;
  p = p * t2 + 2.0f / 7;
  p = p * t2 + 2.0f / 5;
  p = p * t2 + 2.0f / 3;
  p = p * t2 + 2.0f;
  return p * t;
}
inline Vec<double> log1p_of_unit(Vec<double> z) {
  for (int n = 0; n < kLanes<double>; ++n) z[n] = ::log1p(z[n]);
  return z;
}

// What softplus(x) and its derivative are made of, with z = e^-|x|: no number overflows.
template <typename A>
struct Logistic {
  Vec<A> tail;     // log(1 + z): softplus(x) - max(x, 0)
  Vec<A> sigmoid;  // of x

  explicit Logistic(Vec<A> x) {
    const Vec<A> one = Vec<A>{} + A(1), z = exp(x > 0 ? -x : x);
    tail = log1p_of_unit(z);
    sigmoid = (x > 0 ? one : z) / (one + z);
  }
};

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "index_checks.h"
#include "parallel.h"

namespace graphkern {

// user: [U, D], item: [I, D], u, i, j: [B], all contiguous. Refuses what does not fit together.
inline Pairs checked_pairs(
    const Tensor& user, const Tensor& item, const Tensor& u, const Tensor& i, const std::optional<Tensor>& j) {
  STD_TORCH_CHECK(
      user.dim() == 2 && item.dim() == 2 && user.size(1) == item.size(1) && user.scalar_type() == item.scalar_type(),
      "user must be [U, D] and item [I, D], of one dtype");
  const auto check = [&](const Tensor& index, const char* name, int64_t num_rows) {
    STD_TORCH_CHECK(
        index.dim() == 1 && index.size(0) == u.size(0) && index.scalar_type() == u.scalar_type(), name,
        " must be [B], of one dtype with u");
    check_index(index, name, num_rows);
  };
  check(u, "u", user.size(0));
  check(i, "i", item.size(0));
  if (j) check(*j, "j", item.size(0));
  return {value_of(user), is_64bit(u), pointer(user), pointer(item), pointer(u), pointer(i), pointer(j), user.size(1)};
}

// Calls f(begin, end) until [0, batch) is covered. Cuts are where registers of scores end, whatever the threads.
template <typename F>
void for_pairs(const Pairs& p, int64_t batch, const F& f) {
  constexpr int64_t kChunk = 256;
  const int64_t chunks = (batch + kChunk - 1) / kChunk;
  parallel_tasks(chunks, useful_threads(batch * (p.depth + 16) * 2), [&](int64_t chunk) {
    f(chunk * kChunk, std::min(chunk * kChunk + kChunk, batch));
  });
}

// Loss and its derivative by the score, [B] each: kernel(pairs, loss, slope, begin, end) makes those of [begin, end).
template <typename F>
std::tuple<Tensor, Tensor> pair_losses(
    const Tensor& user, const Tensor& item, const Tensor& u, const Tensor& i, const std::optional<Tensor>& j,
    const F& kernel) {
  const Tensor users = as_contiguous(user), items = as_contiguous(item);
  const Tensor of_user = as_contiguous(u), of_item = as_contiguous(i);
  const std::optional<Tensor> of_other = as_contiguous(j);
  const Pairs pairs = checked_pairs(users, items, of_user, of_item, of_other);
  const int64_t batch = u.size(0);
  Tensor loss = allocate({batch}, user.scalar_type()), slope = allocate({batch}, accumulate_type(user));
  void *losses = loss.mutable_data_ptr(), *slopes = slope.mutable_data_ptr();
  for_pairs(pairs, batch, [&](int64_t begin, int64_t end) { kernel(pairs, losses, slopes, begin, end); });
  return {loss, slope};
}

}  // namespace graphkern
#endif
