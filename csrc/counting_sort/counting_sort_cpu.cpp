#include "../common/isa.h"

#ifdef GK_LAUNCHER
#include <utility>

#include "../common/parallel.h"

namespace graphkern {
namespace {

// A stable sort in two steps, so that neither writes to more places at a time than caches hold: entries go to buckets
// of 2^shift bins, then those of a bucket to their bins. index: [size] with values in [0, num_bins); indptr: [num_bins
// + 1]; permutation: [size]
template <typename I>
void sort_bins(const I* index, int64_t size, int64_t num_bins, I* indptr, I* permutation) {
  constexpr int64_t kMinChunk = 65536;
  constexpr int kMaxShift = 16, kBucketBits = 9;  // the bin within a bucket takes 16 bits of a word
  int shift = 0;
  while (shift < kMaxShift && num_bins >> shift > 1 << kBucketBits) ++shift;
  const int64_t buckets = (num_bins >> shift) + 1;
  const int64_t affordable = std::min(size / kMinChunk, size / buckets);  // a chunk costs a counter for each bucket
  const int64_t chunks = std::clamp<int64_t>(torch::stable::get_num_threads(), 1, std::max<int64_t>(affordable, 1));
  std::vector<int64_t> place(chunks * buckets);
  std::atomic<bool> good{true};
  const auto each_chunk = [&](const auto& f) {
    parallel_tasks(chunks, chunks, [&](int64_t chunk) {
      const auto bound = [&](int64_t c) { return size / chunks * c + std::min(c, size % chunks); };
      f(bound(chunk), bound(chunk + 1), place.data() + chunk * buckets);
    });
  };
  each_chunk([&](int64_t begin, int64_t end, int64_t* count) {
    for (int64_t e = begin; e < end; ++e) {
      if (uint64_t(index[e]) >= uint64_t(num_bins)) {
        good = false;
        return;
      }
      ++count[index[e] >> shift];
    }
  });
  STD_TORCH_CHECK(good, "counting_sort: index out of range");
  std::vector<int64_t> start(buckets + 1);
  int64_t total = 0;
  for (int64_t bucket = 0; bucket < buckets; ++bucket) {
    start[bucket] = total;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      total += std::exchange(place[chunk * buckets + bucket], total);
    }
  }
  start[buckets] = total;
  Tensor sorted = allocate({size}, ScalarType::Long);  // of each entry its number and its bin within the bucket
  uint64_t* words = static_cast<uint64_t*>(sorted.mutable_data_ptr());
  const uint64_t within = (uint64_t(1) << shift) - 1;
  each_chunk([&](int64_t begin, int64_t end, int64_t* next) {
    for (int64_t e = begin; e < end; ++e) {
      words[next[index[e] >> shift]++] = uint64_t(e) << kMaxShift | (uint64_t(index[e]) & within);
    }
  });
  parallel_tasks(buckets, chunks, [&](int64_t bucket) {
    const int64_t first = bucket << shift, bins = std::min<int64_t>(within + 1, num_bins - first);
    const uint64_t *begin = words + start[bucket], *end = words + start[bucket + 1];
    std::vector<int64_t> next(bins + 1);
    for (const uint64_t* word = begin; word < end; ++word) ++next[(*word & within) + 1];
    next[0] = start[bucket];
    for (int64_t bin = 0; bin < bins; ++bin) {
      next[bin + 1] += next[bin];
      indptr[first + bin] = I(next[bin]);
    }
    for (const uint64_t* word = begin; word < end; ++word) permutation[next[*word & within]++] = I(*word >> kMaxShift);
  });
  indptr[num_bins] = I(total);
}

std::tuple<Tensor, Tensor> counting_sort(const Tensor& index, int64_t num_bins) {
  const Tensor values = as_contiguous(index);
  Tensor indptr = allocate({num_bins + 1}, index.scalar_type());
  Tensor permutation = allocate({index.size(0)}, index.scalar_type());
  baseline::dispatch_index(is_64bit(index), [&](auto i) {
    using I = typename decltype(i)::type;
    sort_bins(
        static_cast<const I*>(values.const_data_ptr()), index.size(0), num_bins,
        static_cast<I*>(indptr.mutable_data_ptr()), static_cast<I*>(permutation.mutable_data_ptr()));
  });
  return {indptr, permutation};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("counting_sort", TORCH_BOX(&graphkern::counting_sort)); }
#endif
