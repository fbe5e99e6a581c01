#include "../common/isa.h"

#ifdef GK_LAUNCHER
#include "../common/checks.h"

namespace graphkern {
namespace {

// Stable counting sort. Each chunk of edges counts its bins, a scan over (bin, chunk) gives every chunk its places.
// index: [size] with values in [0, num_bins); indptr: [num_bins + 1]; permutation: [size]
template <typename I>
void sort_bins(const I* index, int64_t size, int64_t num_bins, I* indptr, I* permutation) {
  constexpr int64_t kMinChunk = 65536;
  // A chunk costs num_bins counters: no more chunks than keep the counters below the size of the data.
  const int64_t affordable = std::min(size / kMinChunk, size / std::max<int64_t>(num_bins, 1));
  const int64_t chunks = std::max<int64_t>(1, std::min<int64_t>(torch::stable::get_num_threads(), affordable));
  const auto bound = [&](int64_t chunk) { return size / chunks * chunk + std::min(chunk, size % chunks); };
  std::vector<int64_t> place(chunks * num_bins);
  std::vector<char> bad(chunks);
  const auto for_each_chunk = [&](const auto& f) {
    torch::stable::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
      for (int64_t chunk = first; chunk < last; ++chunk) f(chunk, place.data() + chunk * num_bins);
    });
  };
  for_each_chunk([&](int64_t chunk, int64_t* count) {
    for (int64_t e = bound(chunk); e < bound(chunk + 1); ++e) {
      if (index[e] < 0 || int64_t(index[e]) >= num_bins) {
        bad[chunk] = 1;
        return;
      }
      ++count[index[e]];
    }
  });
  for (char chunk_is_bad : bad) STD_TORCH_CHECK(!chunk_is_bad, "counting_sort: index out of range");
  int64_t total = 0;
  for (int64_t bin = 0; bin < num_bins; ++bin) {
    indptr[bin] = I(total);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int64_t count = place[chunk * num_bins + bin];
      place[chunk * num_bins + bin] = total;
      total += count;
    }
  }
  indptr[num_bins] = I(total);
  for_each_chunk([&](int64_t chunk, int64_t* next) {
    for (int64_t e = bound(chunk); e < bound(chunk + 1); ++e) permutation[next[index[e]]++] = I(e);
  });
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
