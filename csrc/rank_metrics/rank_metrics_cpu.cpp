#include "../common/column_set.h"
#include "../common/dispatch.h"

namespace graphkern {

constexpr int64_t kMetrics = 7;  // recall, ndcg, hr, mrr, map, f1, precision
constexpr int64_t kPlaces = 64;  // of a list, to a word of hits

// Where lists are cut, and what does not depend on the user.
struct Cutoffs {
  const int64_t* ks;  // [count], ascending
  int64_t count, depth;
  const double *gain, *ideal;  // of a hit at place r [depth, rounded up to kPlaces], and at all places before r
};

// The metrics of one user.
// list: [depth, rounded up to kPlaces] best first, filled up with -1. test: its items, at least one.
// hits, taken: one bit a place, and one a test item; overwritten. out: [count, kMetrics]
GK_DECLARE_KERNEL(
    void, score_list, const int64_t* list, const ColumnSet& test, bool is_64bit, const Cutoffs& cutoffs, uint64_t* hits,
    uint64_t* taken, double* out)

namespace GK_ISA {
namespace {

constexpr int64_t kFewItems = 64;

// One bit for each of the first `width` <= kPlaces places that holds the item; those after may be read.
inline uint64_t places_of(int64_t item, const int64_t* list, int64_t width) {
  uint64_t places = 0;
#if defined(__AVX512F__)
  const __m512i wanted = _mm512_set1_epi64(item);
  for (int64_t r = 0; r < width; r += 8) {
    places |= uint64_t(_mm512_cmpeq_epi64_mask(_mm512_loadu_si512(list + r), wanted)) << r;
  }
#elif defined(__AVX2__)
  const __m256i wanted = _mm256_set1_epi64x(item);
  for (int64_t r = 0; r < width; r += 4) {
    const __m256i same = _mm256_cmpeq_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(list + r)), wanted);
    places |= uint64_t(_mm256_movemask_pd(_mm256_castsi256_pd(same))) << r;
  }
#else
  for (int64_t r = 0; r < width; ++r) places |= uint64_t(list[r] == item) << r;
#endif
  return places;
}

// Each test item looks for its first place.
template <typename I>
void search_list(const int64_t* list, int64_t depth, const I* items, int64_t count, uint64_t* hits) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t first = 0; first < depth; first += kPlaces) {
      const uint64_t places = places_of(items[i], list + first, depth - first < kPlaces ? depth - first : kPlaces);
      hits[first / kPlaces] |= places & -places;
      if (places) break;
    }
  }
}

// Each place looks for its item by bisection. An item that was found once is taken.
template <typename I>
void search_items(const int64_t* list, int64_t depth, const I* items, int64_t count, uint64_t* taken, uint64_t* hits) {
  for (int64_t i = 0; i < count; i += 64) taken[i / 64] = 0;
  for (int64_t r = 0; r < depth; ++r) {
    int64_t at = 0;
    for (int64_t size = count, half; size > 1; size -= half) {
      half = size / 2;
      at = items[at + half] <= list[r] ? at + half : at;
    }
    const uint64_t bit = uint64_t(1) << (at % 64);
    if (items[at] != list[r] || taken[at / 64] & bit) continue;
    taken[at / 64] |= bit;
    hits[r / kPlaces] |= uint64_t(1) << (r % kPlaces);
  }
}

// See ops/rank_metrics/reference.py.
void measure(const uint64_t* hits, int64_t num_test, const Cutoffs& c, double* out) {
  double found = 0, gain = 0, precision = 0, first = 0;  // first: 1 / rank
  int64_t cut = 0;
  const auto cut_before = [&](int64_t place) {
    for (; cut < c.count && c.ks[cut] <= place; ++cut) {
      const int64_t k = c.ks[cut];
      double* metrics = out + cut * kMetrics;
      metrics[0] = found / num_test;
      metrics[1] = gain / c.ideal[k < num_test ? k : num_test];
      metrics[2] = found > 0;
      metrics[3] = first;
      metrics[4] = precision / num_test;
      metrics[5] = 2 * found / (num_test + k);
      metrics[6] = found / k;
    }
  };
  for (int64_t word = 0; word * kPlaces < c.depth; ++word) {
    for (uint64_t rest = hits[word]; rest; rest &= rest - 1) {
      const int64_t place = word * kPlaces + __builtin_ctzll(rest);
      cut_before(place);
      found += 1;
      gain += c.gain[place];
      precision += found / (place + 1);
      if (found == 1) first = 1.0 / (place + 1);
    }
  }
  cut_before(c.depth);
}

}  // namespace

void score_list(
    const int64_t* list, const ColumnSet& test, bool is_64bit, const Cutoffs& cutoffs, uint64_t* hits, uint64_t* taken,
    double* out) {
  for (int64_t place = 0; place < cutoffs.depth; place += kPlaces) hits[place / kPlaces] = 0;
  dispatch_index(is_64bit, [&](auto i) {
    const auto* items = static_cast<const typename decltype(i)::type*>(test.columns);
    if (test.size <= kFewItems) return search_list(list, cutoffs.depth, items, test.size, hits);
    search_items(list, cutoffs.depth, items, test.size, taken, hits);
  });
  measure(hits, test.size, cutoffs, out);
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include <cmath>

#include "../common/parallel.h"

namespace graphkern {
namespace {

// Sums of the users of one block, and how many have test items.
struct Partial {
  std::vector<double> sums;
  int64_t users = 0;
};

class RankMetrics {
 public:
  RankMetrics(const Tensor& topk, const Tensor& indptr, const Tensor& indices, const std::vector<int64_t>& ks)
      : lists_(static_cast<const int64_t*>(pointer(topk))),
        stride_(topk.stride(0)),
        num_users_(topk.size(0)),
        test_(indptr),
        items_(pointer(indices)),
        num_test_(indices.size(0)),
        width_(int64_t(ks.size()) * kMetrics),
        words_((ks.back() + kPlaces - 1) / kPlaces),
        gain_(words_ * kPlaces),
        ideal_(ks.back() + 1),
        cutoffs_{ks.data(), int64_t(ks.size()), ks.back(), gain_.data(), ideal_.data()} {
    for (int64_t r = 0; r < cutoffs_.depth; ++r) {
      gain_[r] = 1 / std::log2(double(r + 2));
      ideal_[r + 1] = ideal_[r] + gain_[r];
    }
  }

  // out: [len(ks), kMetrics, U]
  void each_user(double* out) const {
    in_blocks([&](int64_t, int64_t user, const double* metrics) {
      for (int64_t i = 0; i < width_; ++i) out[i * num_users_ + user] = metrics ? metrics[i] : NAN;
    });
  }

  // Block by block, so that sums have one order. out: [len(ks), kMetrics]
  void mean(double* out) const {
    std::vector<Partial> partials(num_blocks(), {std::vector<double>(width_)});
    in_blocks([&](int64_t block, int64_t, const double* metrics) {
      if (!metrics) return;
      ++partials[block].users;
      for (int64_t i = 0; i < width_; ++i) partials[block].sums[i] += metrics[i];
    });
    Partial total{std::vector<double>(width_)};
    for (const Partial& partial : partials) {
      total.users += partial.users;
      for (int64_t i = 0; i < width_; ++i) total.sums[i] += partial.sums[i];
    }
    for (int64_t i = 0; i < width_; ++i) out[i] = total.sums[i] / total.users;
  }

 private:
  // Depends on the number of users alone; at most 2,048 blocks.
  int64_t users_a_block() const { return std::max<int64_t>(128, (num_users_ + 2047) / 2048); }
  int64_t num_blocks() const { return (num_users_ + users_a_block() - 1) / users_a_block(); }

  // take(block, user, metrics [len(ks), kMetrics] or null where the user has no test items)
  template <typename F>
  void in_blocks(const F& take) const {
    const int64_t operations = num_users_ * (cutoffs_.depth + 4 * width_) + num_test_ * 16;
    parallel_tasks(num_blocks(), useful_threads(operations), [&](int64_t block) {
      const int64_t begin = block * users_a_block(), end = std::min(begin + users_a_block(), num_users_);
      baseline::dispatch_index(
          test_.is_64bit, [&](auto i) { users<typename decltype(i)::type>(block, begin, end, take); });
    });
  }

  template <typename I, typename F>
  void users(int64_t block, int64_t begin, int64_t end, const F& take) const {
    const auto score = GK_KERNEL(score_list);
    std::vector<int64_t> list(words_ * kPlaces, -1);
    std::vector<uint64_t> hits(words_), taken;
    std::vector<double> metrics(width_);
    std::vector<I> sorted;
    for (int64_t user = begin; user < end; ++user) {
      const int64_t first = test_[user], count = test_[user + 1] - first;
      if (count == 0) {
        take(block, user, nullptr);
        continue;
      }
      const ColumnSet test = column_set(static_cast<const I*>(items_) + first, count, sorted);
      if (taken.size() * 64 < size_t(count)) taken.resize((count + 63) / 64);
      std::copy_n(lists_ + user * stride_, cutoffs_.depth, list.data());
      score(list.data(), test, test_.is_64bit, cutoffs_, hits.data(), taken.data(), metrics.data());
      take(block, user, metrics.data());
    }
  }

  const int64_t* lists_;
  int64_t stride_, num_users_;
  Segments test_;
  const void* items_;
  int64_t num_test_, width_, words_;
  std::vector<double> gain_, ideal_;
  Cutoffs cutoffs_;
};

// topk: [U, K]. Returns [len(ks), kMetrics, U], or [len(ks), kMetrics] means
Tensor rank_metrics(
    const Tensor& topk, const Tensor& indptr, const Tensor& indices, std::vector<int64_t> ks, bool per_user) {
  STD_TORCH_CHECK(topk.dim() == 2 && topk.scalar_type() == ScalarType::Long, "topk must be [U, K] int64");
  STD_TORCH_CHECK(!ks.empty() && ks[0] >= 1 && ks.back() <= topk.size(1), "ks must be in [1, ", topk.size(1), "]");
  STD_TORCH_CHECK(std::is_sorted(ks.begin(), ks.end()), "ks must ascend");
  STD_TORCH_CHECK(indptr.scalar_type() == indices.scalar_type(), "indptr and indices must have the same dtype");
  STD_TORCH_CHECK(indptr.size(0) == topk.size(0) + 1, "topk has ", topk.size(0), " rows but test ", indptr.size(0) - 1);
  const Tensor lists = topk.stride(1) == 1 ? topk : as_contiguous(topk);
  const Tensor bounds = as_contiguous(indptr), items = as_contiguous(indices);
  Segments(bounds).check(indices.size(0));
  const RankMetrics metrics(lists, bounds, items, ks);
  const int64_t count = ks.size();
  Tensor out = per_user ? allocate({count, kMetrics, topk.size(0)}, ScalarType::Double)
                        : allocate({count, kMetrics}, ScalarType::Double);
  double* values = static_cast<double*>(out.mutable_data_ptr());
  if (per_user) {
    metrics.each_user(values);
  } else {
    metrics.mean(values);
  }
  return out;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("rank_metrics", TORCH_BOX(&graphkern::rank_metrics)); }
#endif
