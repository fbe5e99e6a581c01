#include "../common/isa.h"

#ifdef GK_LAUNCHER
#include <limits>

#include "../common/checks.h"
#include "../common/random.h"

namespace graphkern {
namespace {

// Global node -> local position. Open addressing, at most half full.
template <typename I>
class LocalIds {
 public:
  // Room for `count` nodes in all.
  void reserve(int64_t count) {
    size_t capacity = 64;
    while (capacity < size_t(count) * 2) capacity *= 2;
    if (capacity <= slots_.size()) return;
    std::vector<Slot> old(capacity, Slot{-1, 0});
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.node >= 0) *find(slot.node) = slot;
    }
  }

  // The position of `node`; takes `next` where it is new.
  std::pair<I, bool> insert(I node, I next) {
    Slot* slot = find(node);
    if (slot->node == node) return {slot->position, false};
    *slot = {node, next};
    return {next, true};
  }

 private:
  struct Slot {
    I node, position;
  };

  Slot* find(I node) {
    const size_t mask = slots_.size() - 1;
    size_t at = (uint64_t(node) * 0x9E3779B97F4A7C15ull >> 20) & mask;
    while (slots_[at].node >= 0 && slots_[at].node != node) at = (at + 1) & mask;
    return &slots_[at];
  }

  std::vector<Slot> slots_;
};

// A few draws of one row, looked through for repeats: by scanning while they are few, else by a table.
class Taken {
 public:
  explicit Taken(int64_t count) {
    if (count <= kScan) return;
    size_t capacity = 64;
    while (capacity < size_t(count) * 2) capacity *= 2;
    table_.resize(capacity);
  }

  // Forgets the row before; `positions` is where this row's draws are written.
  void reset(const uint32_t* positions) {
    positions_ = positions;
    count_ = 0;
    if (!table_.empty()) std::fill(table_.begin(), table_.end(), 0);
  }

  bool add(uint32_t value) {
    if (table_.empty()) {
      for (int64_t i = 0; i < count_; ++i) {
        if (positions_[i] == value) return false;
      }
      ++count_;
      return true;
    }
    size_t at = (uint64_t(value) * 0x9E3779B97F4A7C15ull >> 20) & (table_.size() - 1);
    for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
      if (table_[at] == uint64_t(value) + 1) return false;
    }
    table_[at] = uint64_t(value) + 1;
    return true;
  }

 private:
  static constexpr int64_t kScan = 32;
  const uint32_t* positions_ = nullptr;
  int64_t count_ = 0;
  std::vector<uint64_t> table_;
};

template <typename I>
class Sampler {
 public:
  Sampler(const I* indptr, const I* indices, int64_t num_rows, bool replace, uint64_t seed)
      : indptr_(indptr), indices_(indices), num_rows_(num_rows), replace_(replace), seed_(seed) {}

  void seeds(const I* seeds, int64_t count) {
    nodes.assign(seeds, seeds + count);
    ids_.reserve(count);
    for (int64_t i = 0; i < count; ++i) {
      STD_TORCH_CHECK(
          seeds[i] >= 0 && seeds[i] < num_rows_, "seeds must be in [0, ", num_rows_, ") but has ", seeds[i]);
      ids_.insert(seeds[i], I(i));
    }
    nodes_per_hop.push_back(count);
  }

  // Expands the nodes that the hop before found.
  void hop(int64_t fanout, uint32_t hop) {
    const int64_t rows = int64_t(nodes.size()) - begin_, first_edge = int64_t(edges.size());
    indptr.resize(nodes.size() + 1, 0);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t degree = degree_of(nodes[begin_ + r]);
      STD_TORCH_CHECK(degree <= std::numeric_limits<uint32_t>::max(), "a row has 2^32 edges or more");
      const bool all = fanout < 0 || (!replace_ && degree < fanout);
      indptr[begin_ + r + 1] = I(indptr[begin_ + r] + (all ? degree : degree == 0 ? 0 : fanout));
    }
    edges.resize(indptr[begin_ + rows]);
    columns.resize(edges.size());
    torch::stable::parallel_for(0, rows, 256, [&](int64_t row_begin, int64_t row_end) {
      std::vector<uint32_t> positions(std::max<int64_t>(fanout, 0));
      Taken taken(replace_ ? 0 : fanout);
      for (int64_t r = begin_ + row_begin; r < begin_ + row_end; ++r) draw(r, hop, positions.data(), taken);
    });
    renumber(first_edge, rows);
    edges_per_hop.push_back(int64_t(edges.size()) - first_edge);
  }

  void finish() { indptr.resize(nodes.size() + 1, indptr.back()); }

  std::vector<I> nodes, indptr{0}, columns, edges;
  std::vector<int64_t> nodes_per_hop, edges_per_hop;

 private:
  int64_t degree_of(I node) const { return int64_t(indptr_[node + 1]) - int64_t(indptr_[node]); }

  // Writes the stored edges of local row r and the global nodes they lead to.
  void draw(int64_t r, uint32_t hop, uint32_t* positions, Taken& taken) {
    const I node = nodes[r], start = indptr_[node];
    const int64_t degree = degree_of(node), count = indptr[r + 1] - indptr[r];
    I* edge = edges.data() + indptr[r];
    if (!replace_ && count == degree) {
      for (int64_t j = 0; j < count; ++j) edge[j] = I(start + j);
    } else {
      Draws draws(uint64_t(node), hop, seed_);
      taken.reset(positions);
      for (int64_t j = 0; j < count; ++j) {
        if (replace_) {
          positions[j] = draws.bounded(uint32_t(j), uint32_t(degree));
        } else {  // Floyd: one more element than before may be drawn each time; a repeat stands for the new one
          const uint32_t last = uint32_t(degree - count + j), value = draws.bounded(uint32_t(j), last + 1);
          positions[j] = taken.add(value) ? value : (taken.add(last), last);
        }
        edge[j] = I(start + positions[j]);
      }
    }
    for (int64_t j = 0; j < count; ++j) columns[indptr[r] + j] = indices_[edge[j]];
  }

  // Replaces global nodes by local positions, in order of first sight.
  void renumber(int64_t first_edge, int64_t rows) {
    begin_ += rows;
    ids_.reserve(int64_t(nodes.size() + edges.size()) - first_edge);
    for (size_t e = first_edge; e < edges.size(); ++e) {
      const I node = columns[e];
      const auto [position, is_new] = ids_.insert(node, I(nodes.size()));
      columns[e] = position;
      if (is_new) nodes.push_back(node);
    }
    nodes_per_hop.push_back(int64_t(nodes.size()) - begin_);
  }

  const I *indptr_, *indices_;
  int64_t num_rows_, begin_ = 0;
  bool replace_;
  uint64_t seed_;
  LocalIds<I> ids_;
};

template <typename T>
Tensor to_tensor(const std::vector<T>& values) {
  Tensor out = allocate({int64_t(values.size())}, sizeof(T) == 8 ? ScalarType::Long : ScalarType::Int);
  std::copy(values.begin(), values.end(), static_cast<T*>(out.mutable_data_ptr()));
  return out;
}

// Returns nodes [n], indptr [n + 1], columns [e], stored edges [e], nodes a hop [hops + 1], edges a hop [hops]
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> sample_neighbors(
    const Tensor& indptr, const Tensor& indices, const Tensor& seeds, const std::vector<int64_t>& fanouts, bool replace,
    int64_t seed) {
  const Tensor starts = as_contiguous(seeds);
  std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> result;
  baseline::dispatch_index(is_64bit(indptr), [&](auto i) {
    using I = typename decltype(i)::type;
    Sampler<I> sampler(
        static_cast<const I*>(pointer(indptr)), static_cast<const I*>(pointer(indices)), indptr.size(0) - 1, replace,
        uint64_t(seed));
    sampler.seeds(static_cast<const I*>(pointer(starts)), starts.size(0));
    for (size_t hop = 0; hop < fanouts.size(); ++hop) sampler.hop(fanouts[hop], uint32_t(hop));
    sampler.finish();
    result = {to_tensor(sampler.nodes), to_tensor(sampler.indptr),        to_tensor(sampler.columns),
              to_tensor(sampler.edges), to_tensor(sampler.nodes_per_hop), to_tensor(sampler.edges_per_hop)};
  });
  return result;
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("sample_neighbors", TORCH_BOX(&graphkern::sample_neighbors)); }
#endif
