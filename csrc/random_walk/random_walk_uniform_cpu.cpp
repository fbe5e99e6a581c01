#include "../common/bounded_lanes.h"
#include "walks.h"

namespace graphkern::GK_ISA {
namespace {

template <typename I>
class UniformWalks {
 public:
  explicit UniformWalks(const Walks& walks)
      : walks_(walks), indptr_(static_cast<const I*>(walks.indptr)), indices_(static_cast<const I*>(walks.indices)) {}

  bool run(int64_t begin, int64_t end) {
    for (; begin < end; begin += kGroup) group(begin, end - begin < kGroup ? int(end - begin) : kGroup);
    return good_;
  }

 private:
  static constexpr int kGroup = 128;

  void group(int64_t first, int count) {
    const int64_t width = walks_.length + 1;
    I* out = static_cast<I*>(walks_.out) + first * width;
    for (int i = 0; i < count; ++i) {
      number_[i] = uint64_t(first + i);
      node_[i] = out[i * width] = static_cast<const I*>(walks_.start)[first + i];
      __builtin_prefetch(indptr_ + node_[i]);
    }
    for (int64_t step = 0; step < walks_.length; ++step) {
      if (step % 4 == 0) {
        for (int i = 0; i < count; ++i) block_[i] = uint64_t(step / 4);
        draw_blocks(block_, attempt_, number_, count, walks_.seed, words_);
      }
      choose(step, count);
      for (int i = 0; i < count; ++i) {
        if (edge_[i] >= 0) node_[i] = indices_[edge_[i]];
        out[i * width + step + 1] = node_[i];
        __builtin_prefetch(indptr_ + node_[i]);
      }
    }
  }

  void choose(int64_t step, int count) {
    for (int i = 0; i < count; ++i) {
      const int64_t begin = indptr_[node_[i]], degree = indptr_[node_[i] + 1] - begin;
      good_ &= degree <= UINT32_MAX;
      const uint32_t rank = bounded(words_[step % 4][i], uint32_t(degree), uint64_t(step), number_[i], walks_.seed);
      edge_[i] = degree > 0 ? begin + rank : -1;
      __builtin_prefetch(indices_ + begin + rank);
    }
  }

  const Walks& walks_;
  const I *indptr_, *indices_;
  bool good_ = true;
  uint64_t number_[kGroup] = {}, block_[kGroup] = {}, attempt_[kGroup] = {}, words_[4][kGroup];
  int64_t edge_[kGroup];
  I node_[kGroup];
};

}  // namespace

bool walk_uniform(const Walks& walks, int64_t begin, int64_t end) {
  bool good = true;
  dispatch_index(
      walks.is_64bit, [&](auto i) { good = UniformWalks<typename decltype(i)::type>(walks).run(begin, end); });
  return good;
}

}  // namespace graphkern::GK_ISA
