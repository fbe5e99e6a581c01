// The sampler on the device: memory, bounds and counts of a sample; sample_neighbors_kernels.cuh does the work.
#pragma once

#include <algorithm>

#include "../common/cuda.h"
#include "sample_neighbors_kernels.cuh"

namespace graphkern::cuda {

constexpr int64_t kMostAhead = int64_t(1) << 24;  // seeds and edges of a sample that is not waited for; 100 bytes each

// nodes and subgraphs a type; local indptr, columns and edges a relation; nodes [T, hops + 1] and edges [R, hops] found
// at each hop
using Sample = std::tuple<
    std::vector<Tensor>, std::vector<Tensor>, std::vector<Tensor>, std::vector<Tensor>, std::vector<Tensor>, Tensor,
    Tensor>;

struct SampleOptions {
  Mode mode;
  bool replace, disjoint;
  uint64_t seed;
};

template <typename I>
struct SampledRelation {
  Relation<I> data;
  int64_t source, destination;
};

// What was counted on the device, and what the host knows of it as of the last wait. Levels: before the seeds, with
// them, after each relation of each hop.
class Counts {
 public:
  Counts(Call& call, int64_t types, int64_t relations, int64_t hops)
      : call_(call), types_(types), relations_(relations), hops_(hops), known_(size_t(size())) {
    counts_ = static_cast<int64_t*>(call.workspace(size() * int64_t(sizeof(int64_t))));
    launch(call.stream(), size(), fill<int64_t>, counts_, size(), int64_t(0));
  }

  // [types] of a level, [relations] before a hop, [relations] of a hop.
  int64_t* nodes(int64_t level) const { return counts_ + level * types_; }
  int64_t* edges(int64_t hop) const { return counts_ + levels() * types_ + hop * relations_; }
  int64_t* too_many(int64_t hop) const { return edges(hops_ + 1 + hop); }
  int64_t level(int64_t hop) const { return hop < 0 ? 0 : 1 + hop * relations_; }  // where the hop begins

  void wait() {
    known_ = call_.to_host(counts_, size());
    for (int64_t i = too_many(0) - counts_; i < size(); ++i) {
      STD_TORCH_CHECK(known_[i] == 0, "a seed is out of range, or a row or the sample has 2^32 edges or more");
    }
  }
  int64_t known(const int64_t* count) const { return known_[size_t(count - counts_)]; }
  int64_t nodes_before(int64_t hop, int64_t type) const { return known(nodes(level(hop)) + type); }
  int64_t edges_before(int64_t hop, int64_t relation) const { return known(edges(hop) + relation); }

 private:
  int64_t levels() const { return 2 + hops_ * relations_; }
  int64_t size() const { return levels() * types_ + (2 * hops_ + 1) * relations_; }

  Call& call_;
  int64_t types_, relations_, hops_;
  std::vector<int64_t> known_;
  int64_t* counts_;
};

// Draws hop by hop and relation by relation, and numbers the nodes that edges lead to.
//
// The exact shapes of the results need one wait at least. Where fanouts bound the sample, and not too high, memory and
// launches go by the bounds and that wait is the only one, at the end; else each hop waits for its sizes.
template <typename I>
class Sampler {
 public:
  Sampler(
      Call& call, const SampleOptions& options, const std::vector<SampledRelation<I>>& graph,
      const std::vector<int64_t>& num_nodes, const std::vector<int64_t>& fanouts, const int64_t* limits)
      : call_(call),
        options_(options),
        graph_(graph),
        num_nodes_(num_nodes),
        fanouts_(fanouts),
        limits_(limits),
        num_types_(int64_t(num_nodes.size())),
        num_relations_(int64_t(graph.size())),
        num_hops_(int64_t(fanouts.size()) / num_relations_),
        counts_(call, num_types_, num_relations_, num_hops_) {
    const Tensor nothing = call.allocate({0}, kIndex);
    drawn_.assign(graph.size(), {nothing, nothing, nothing});
    found_.assign(num_nodes.size(), {nothing, nothing, nothing, nothing, {}, 0, 0});
  }

  void start(const std::vector<Tensor>& seeds) {
    std::vector<int64_t> rows;
    for (const Tensor& t : seeds) rows.push_back(t.size(0));
    bounds_ = bounds(rows);
    std::vector<int64_t> total(graph_.size(), 0);
    for (size_t i = 0; i < bounds_.size(); ++i) total[i % graph_.size()] += bounds_[i];
    int64_t batch = 0;
    for (int64_t t = 0; t < num_types_; ++t) {
      found_[t].rows = rows[t];
      found_[t].node = copied<I>(call_.read<I>(seeds[t]), rows[t], rows[t]);
      launch(call_.stream(), 1, fill<int64_t>, counts_.nodes(1) + t, int64_t(1), rows[t]);
      make_room(t, rows[t], total, batch);
      batch += rows[t];
    }
    for (int64_t r = 0; r < num_relations_; ++r) make_room_for_edges(r, 0, total[r]);
  }

  void run(int64_t hop) {
    Call scratch(like());
    const auto allocate = [&](int64_t bytes) { return scratch.workspace(bytes); };
    std::vector<Frontier<I>> frontiers;
    for (int64_t r = 0; r < num_relations_; ++r) {
      Tensor& indptr = drawn_[r].indptr;
      const int64_t rows = found_[graph_[r].destination].node.size(0), known = indptr.size(0);
      if (known < rows) indptr = copied<I>(write<I>(indptr), known, rows);
      frontiers.push_back(frontier(hop, r));
      start_hop(
          call_.stream(), frontiers[r], counts_.edges(hop) + r, counts_.edges(hop + 1) + r, counts_.too_many(hop) + r,
          write<I>(indptr), allocate);
    }
    const std::vector<int64_t> most = bounds_.empty() ? wait(hop) : bounds_of(hop);
    std::vector<int64_t> found(num_types_, 0);
    for (int64_t r = 0; r < num_relations_; ++r) {
      const int64_t source = graph_[r].source;
      finish_hop(
          call_.stream(), placed(frontiers[r], r), edges(hop, r, most[r]), view(found_[source]),
          counts_.nodes(counts_.level(hop) + r), counts_.nodes(counts_.level(hop) + r + 1), source, num_types_,
          allocate);
      found_[source].events += most[r];
      found[source] += most[r];
    }
    for (int64_t t = 0; t < num_types_; ++t) found_[t].rows = most_rows(t, found[t]);
  }

  Sample results() {
    counts_.wait();
    Sample sample;
    auto& [nodes, batch, indptr, columns, edges, nodes_per_hop, edges_per_hop] = sample;
    nodes_per_hop = on_host(num_types_, num_hops_ + 1);
    edges_per_hop = on_host(num_relations_, num_hops_);
    for (int64_t t = 0; t < num_types_; ++t) {
      const int64_t count = counts_.nodes_before(num_hops_, t);
      nodes.push_back(exact<I>(found_[t].node, count));
      batch.push_back(exact<uint32_t>(found_[t].batch, options_.disjoint ? count : 0));
      for (int64_t h = 0; h <= num_hops_; ++h) {
        write<int64_t>(nodes_per_hop)[t * (num_hops_ + 1) + h] =
            counts_.nodes_before(h, t) - counts_.nodes_before(h - 1, t);
      }
    }
    for (int64_t r = 0; r < num_relations_; ++r) {
      const int64_t rows = counts_.nodes_before(num_hops_, graph_[r].destination);
      const int64_t expanded = counts_.nodes_before(num_hops_ - 1, graph_[r].destination);
      const int64_t count = counts_.edges_before(num_hops_, r);
      indptr.push_back(call_.allocate({rows + 1}, kIndex));
      launch(
          call_.stream(), rows + 1, finish_indptr<I>, write<I>(drawn_[r].indptr), expanded, rows, count,
          write<I>(indptr.back()));
      columns.push_back(exact<I>(drawn_[r].column, count));
      edges.push_back(exact<I>(drawn_[r].edge, count));
      for (int64_t h = 0; h < num_hops_; ++h) {
        write<int64_t>(edges_per_hop)[r * num_hops_ + h] = counts_.edges_before(h + 1, r) - counts_.edges_before(h, r);
      }
    }
    return sample;
  }

 private:
  static constexpr ScalarType kIndex = sizeof(I) == 8 ? ScalarType::Long : ScalarType::Int;

  // Of one type. slots: the table's memory; rows: of the frontier, at most; events: see Found
  struct FoundNodes {
    Tensor node, batch, local, slots;
    HashTable table;
    int64_t rows, events;
  };
  // From one relation. indptr: see end_rows
  struct DrawnEdges {
    Tensor edge, column, indptr;
  };

  const Tensor& like() const { return drawn_[0].edge; }

  int64_t most_rows(int64_t type, int64_t found) const {
    return options_.disjoint ? found : std::min(found, num_nodes_[type]);
  }

  // How many edges each hop draws along each relation, at most; nothing if fanouts do not say so or these are too many.
  std::vector<int64_t> bounds(std::vector<int64_t> rows) const {
    std::vector<int64_t> most;
    int64_t total = 0;
    for (const int64_t count : rows) total += count;
    for (int64_t hop = 0; hop < num_hops_; ++hop) {
      std::vector<int64_t> found(num_types_, 0);
      for (int64_t r = 0; r < num_relations_; ++r) {
        const int64_t fanout = fanouts_[hop * num_relations_ + r];
        if (total > kMostAhead || fanout < 0 || fanout > kMostAhead || options_.mode == Mode::labor) return {};
        int64_t edges = rows[graph_[r].destination] * fanout;
        // Seeds may be the same, the rows of later hops are not.
        if (hop > 0 && !options_.replace && !options_.disjoint) edges = std::min(edges, graph_[r].data.num_edges);
        most.push_back(edges);
        found[graph_[r].source] += edges;
        total += edges;
      }
      for (int64_t t = 0; t < num_types_; ++t) rows[t] = most_rows(t, found[t]);
    }
    return total > kMostAhead ? std::vector<int64_t>() : most;
  }
  std::vector<int64_t> bounds_of(int64_t hop) const {
    const auto begin = bounds_.begin() + hop * num_relations_;
    return {begin, begin + num_relations_};
  }

  // The sizes of a hop once they are known, and room for them.
  std::vector<int64_t> wait(int64_t hop) {
    counts_.wait();
    std::vector<int64_t> size;
    for (int64_t r = 0; r < num_relations_; ++r) {
      const int64_t known = counts_.edges_before(hop, r);
      size.push_back(counts_.edges_before(hop + 1, r) - known);
      make_room_for_edges(r, known, size[r]);
    }
    for (int64_t t = 0; t < num_types_; ++t) {
      const int64_t known = counts_.nodes_before(hop, t);
      found_[t].rows = known - counts_.nodes_before(hop - 1, t);
      make_room(t, known, size, -1);
    }
    return size;
  }

  void make_room_for_edges(int64_t r, int64_t known, int64_t more) {
    drawn_[r].edge = copied<I>(write<I>(drawn_[r].edge), known, known + more);
    drawn_[r].column = copied<I>(write<I>(drawn_[r].column), known, known + more);
  }

  // For the nodes of a type that so many more edges of each relation lead to. first_batch: see put_nodes
  void make_room(int64_t t, int64_t known, const std::vector<int64_t>& edges, int64_t first_batch) {
    FoundNodes& of = found_[t];
    int64_t room = known;
    for (int64_t r = 0; r < num_relations_; ++r) room += graph_[r].source == t ? edges[r] : 0;
    STD_TORCH_CHECK(room < kTooMany, "a sample of 2^32 nodes and edges or more");
    of.node = copied<I>(write<I>(of.node), known, room);
    if (options_.disjoint) {
      of.batch = copied<uint32_t>(write<uint32_t>(of.batch), first_batch < 0 ? known : 0, room, ScalarType::Int);
    }
    of.local = call_.allocate({room}, ScalarType::Int);
    of.table = make_table(call_.stream(), room, [&](int64_t bytes) {
      of.slots = call_.allocate({bytes}, ScalarType::Byte);
      return of.slots.mutable_data_ptr();
    });
    of.events = 0;
    launch(call_.stream(), known, put_nodes<I>, view(of), known, first_batch);
    of.events = known;
  }

  Found<I> view(const FoundNodes& of) const {
    uint32_t* batch = options_.disjoint ? write<uint32_t>(of.batch) : nullptr;
    return {write<I>(of.node), batch, write<uint32_t>(of.local), of.table, of.events};
  }

  HopEdges<I> edges(int64_t hop, int64_t r, int64_t most) const {
    return {
        write<I>(drawn_[r].edge), write<I>(drawn_[r].column), counts_.edges(hop) + r, counts_.edges(hop + 1) + r, most};
  }

  Frontier<I> frontier(int64_t hop, int64_t r) const {
    const int64_t type = graph_[r].destination, stream = hop * num_relations_ + r;
    Frontier<I> f{};
    f.relation = graph_[r].data;
    f.draw = {fanouts_[stream], options_.seed, uint32_t(stream), options_.mode, options_.replace};
    f.first = counts_.nodes(counts_.level(hop - 1)) + type;
    f.last = counts_.nodes(counts_.level(hop)) + type;
    f.limit = limits_;
    return placed(f, r);
  }
  // With the nodes where they are now, and as many rows as there may be as far as is known.
  Frontier<I> placed(Frontier<I> f, int64_t r) const {
    const FoundNodes& of = found_[graph_[r].destination];
    f.node = write<I>(of.node);
    f.batch = options_.disjoint ? write<uint32_t>(of.batch) : nullptr;
    f.most_rows = of.rows;
    return f;
  }

  // [size], of which the first `count` are given.
  template <typename T>
  Tensor copied(const T* values, int64_t count, int64_t size, ScalarType type = kIndex) const {
    const Tensor out = call_.allocate({size}, type);
    launch(call_.stream(), count, copy_values<T, T>, values, count, write<T>(out));
    return out;
  }

  // The first `count` values as indices.
  template <typename T>
  Tensor exact(const Tensor& values, int64_t count) const {
    if (std::is_same_v<T, I> && values.size(0) == count) return values;
    const Tensor out = call_.allocate({count}, kIndex);
    launch(call_.stream(), count, copy_values<T, I>, write<T>(values), count, write<I>(out));
    return out;
  }

  static Tensor on_host(int64_t rows, int64_t columns) {
    const torch::stable::Device host(torch::headeronly::DeviceType::CPU);
    return torch::stable::empty({rows, columns}, ScalarType::Long, std::nullopt, host);
  }

  Call& call_;
  SampleOptions options_;
  std::vector<SampledRelation<I>> graph_;
  std::vector<int64_t> num_nodes_, fanouts_, bounds_;
  const int64_t* limits_;
  int64_t num_types_, num_relations_, num_hops_;
  Counts counts_;
  std::vector<DrawnEdges> drawn_;
  std::vector<FoundNodes> found_;
};

}  // namespace graphkern::cuda
