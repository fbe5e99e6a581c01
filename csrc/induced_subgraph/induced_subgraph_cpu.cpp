#include "../common/isa.h"

#ifdef GK_LAUNCHER
#include <limits>
#include <memory>
#include <utility>

#include "places.h"

namespace graphkern {
namespace {

template <typename I>
class Induced {
 public:
  Induced(const Tensor& indptr, const Tensor& indices, const Tensor& nodes)
      : indptr_(static_cast<const I*>(pointer(indptr))),
        indices_(static_cast<const I*>(pointer(indices))),
        nodes_(static_cast<const I*>(pointer(nodes))),
        num_nodes_(indptr.size(0) - 1),
        num_kept_(nodes.size(0)),
        type_(indices.scalar_type()),
        bounds_(allocate({num_kept_ + 1}, type_)) {
    for (int64_t r = 0; r < num_kept_; ++r) {
      STD_TORCH_CHECK(
          nodes_[r] >= 0 && nodes_[r] < num_nodes_, "nodes must be in [0, ", num_nodes_, ") but has ", nodes_[r]);
    }
  }

  std::tuple<Tensor, Tensor, Tensor, Tensor> run() {
    const int64_t num_edges = divide();
    threads_ = useful_threads(kOperations * num_edges + num_kept_);
    if (num_nodes_ <= kMapNodes * (num_kept_ + num_edges)) {
      return keep(MapPlaces<I>(nodes_, num_kept_, num_nodes_, threads_));
    }
    return keep(HashPlaces<I>(nodes_, num_kept_, threads_));
  }

 private:
  template <typename P>
  std::tuple<Tensor, Tensor, Tensor, Tensor> keep(const P& places) {
    select(places);
    return gather(places);
  }

  static constexpr int64_t kRunEdges = 32768, kRunRows = 8192, kAhead = 16, kOperations = 8;
  static constexpr int64_t kMapNodes =
      4;  // a look-up in a hash table costs more by what filling so much of a map takes

  // Consecutive rows. mask: where their bits are, one for each edge, whether it is kept
  struct Run {
    int64_t begin, end, edges, mask, kept;
  };

  // Shares rows out by edges; returns how many there are.
  int64_t divide() {
    int64_t begin = 0, edges = 0, total = 0, words = 0;
    for (int64_t r = 0; r < num_kept_; ++r) {
      if (r + kAhead < num_kept_) __builtin_prefetch(indptr_ + nodes_[r + kAhead]);
      edges += indptr_[nodes_[r] + 1] - indptr_[nodes_[r]];
      if (edges < kRunEdges && r + 1 - begin < kRunRows && r + 1 < num_kept_) continue;
      runs_.push_back({begin, r + 1, edges, words, 0});
      words += (edges + 63) / 64;
      total += std::exchange(edges, 0);
      begin = r + 1;
    }
    mask_.reset(new uint64_t[words]);
    return total;
  }

  // What later rows will read.
  __attribute__((always_inline)) void prefetch(int64_t r, int64_t end) const {
    if (r + 2 * kAhead < end) __builtin_prefetch(indptr_ + nodes_[r + 2 * kAhead]);
    if (r + kAhead < end) __builtin_prefetch(indices_ + indptr_[nodes_[r + kAhead]]);
  }

  void note_repeated(uint32_t r) {
    uint32_t first = repeated_;
    while (r < first && !repeated_.compare_exchange_weak(first, r)) {
    }
  }

  template <typename P>
  void select(const P& places) {
    I* bounds = static_cast<I*>(bounds_.mutable_data_ptr());
    parallel_tasks(runs_.size(), threads_, [&](int64_t task) {
      Run& run = runs_[task];
      uint64_t *mask = mask_.get() + run.mask, word = 0;
      int64_t edge = 0;
      for (int64_t r = run.begin; r < run.end; ++r) {
        if (places[nodes_[r]] != uint32_t(r)) note_repeated(uint32_t(r));
        prefetch(r, run.end);
        int64_t kept = 0;
        for (int64_t e = indptr_[nodes_[r]], end = indptr_[nodes_[r] + 1]; e < end; ++e) {
          const uint64_t is_kept = places[indices_[e]] != kNowhere;
          kept += is_kept;
          word |= is_kept << (edge % 64);
          if (++edge % 64 == 0) *mask++ = std::exchange(word, 0);
        }
        bounds[r + 1] = I(kept);
        run.kept += kept;
      }
      if (edge % 64 != 0) *mask = word;
    });
  }

  template <typename P>
  std::tuple<Tensor, Tensor, Tensor, Tensor> gather(const P& places) {
    int64_t total = 0;
    for (Run& run : runs_) total += std::exchange(run.kept, total);  // from now on those before
    Tensor columns = allocate({total}, type_), edges = allocate({total}, type_);
    I *bounds = static_cast<I*>(bounds_.mutable_data_ptr()), *column = static_cast<I*>(columns.mutable_data_ptr());
    I* edge = static_cast<I*>(edges.mutable_data_ptr());
    bounds[0] = 0;
    parallel_tasks(runs_.size(), threads_, [&](int64_t task) {
      const Run& run = runs_[task];
      const uint64_t* mask = mask_.get() + run.mask;
      int64_t bit = 0, to = run.kept;
      for (int64_t r = run.begin; r < run.end; ++r) {
        prefetch(r, run.end);
        const int64_t last = bit + indptr_[nodes_[r] + 1] - indptr_[nodes_[r]];
        const int64_t shift = indptr_[nodes_[r]] - bit;
        for (; bit < last; bit = bit / 64 * 64 + 64) {
          for (uint64_t word = mask[bit / 64] >> (bit % 64) << (bit % 64); word; word &= word - 1) {
            const int64_t set = bit / 64 * 64 + __builtin_ctzll(word);
            if (set >= last) break;
            column[to] = I(places[indices_[set + shift]]);
            edge[to++] = I(set + shift);
          }
        }
        bit = last;
        bounds[r + 1] = I(to);
      }
    });
    Tensor repeated = allocate({1}, ScalarType::Long);
    const uint32_t first = repeated_;
    *static_cast<int64_t*>(repeated.mutable_data_ptr()) = first == kNowhere ? -1 : int64_t(first);
    return {bounds_, columns, edges, repeated};
  }

  const I *indptr_, *indices_, *nodes_;
  int64_t num_nodes_, num_kept_, threads_ = 1;
  ScalarType type_;
  Tensor bounds_;
  std::vector<Run> runs_;
  std::unique_ptr<uint64_t[]> mask_;
  std::atomic<uint32_t> repeated_{kNowhere};
};

// See ops/induced_subgraph/reference.py.
std::tuple<Tensor, Tensor, Tensor, Tensor> induced_subgraph(
    const Tensor& indptr, const Tensor& indices, const Tensor& nodes) {
  STD_TORCH_CHECK(nodes.size(0) < std::numeric_limits<uint32_t>::max(), "2^32 nodes or more");
  const Tensor pointers = as_contiguous(indptr), columns = as_contiguous(indices), kept = as_contiguous(nodes);
  if (is_64bit(indices)) return Induced<int64_t>(pointers, columns, kept).run();
  return Induced<int32_t>(pointers, columns, kept).run();
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("induced_subgraph", TORCH_BOX(&graphkern::induced_subgraph)); }
#endif
