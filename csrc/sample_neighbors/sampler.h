// The sampler: hop by hop and relation by relation, draws the edges of the frontier and renumbers the nodes they lead
// to. Compiled once.
#pragma once

#include "drawn_edges.h"
#include "found_nodes.h"

namespace graphkern {

struct SampleOptions {
  Mode mode;
  bool replace, disjoint;
  uint64_t seed;
};

struct SampledRelation {
  Relation data;
  int64_t source, destination;
};

// nodes and subgraphs a type; local indptr, columns and edges a relation; nodes [T, hops + 1] and edges [R,
// hops] found at each hop
using Sample = std::tuple<
    std::vector<Tensor>, std::vector<Tensor>, std::vector<Tensor>, std::vector<Tensor>, std::vector<Tensor>, Tensor,
    Tensor>;

class Sampler {
 public:
  // seeds: of each node type; limits: the latest time of each subgraph, or empty; num_nodes: more than any node;
  // sharded: see FoundNodes
  Sampler(
      const SampleOptions& options, std::vector<SampledRelation> graph, const std::vector<Tensor>& seeds,
      std::vector<int64_t> limits, int64_t num_nodes, bool sharded)
      : options_(options),
        type_(seeds[0].scalar_type()),
        graph_(std::move(graph)),
        drawn_(graph_.size(), DrawnEdges(type_)),
        limits_(std::move(limits)) {
    int64_t num_seeds = 0;
    for (const Tensor& t : seeds) {
      found_.emplace_back(t, options.disjoint, num_seeds, num_nodes, sharded);
      num_seeds += t.size(0);
    }
    STD_TORCH_CHECK(
        !options.disjoint || (num_seeds < int64_t(1) << (64 - kNodeBits) && num_nodes <= int64_t(1) << kNodeBits),
        "disjoint subgraphs: at most 2^24 seeds and 2^40 nodes");
  }

  // fanouts: one a relation
  void hop(const int64_t* fanouts) {
    for (FoundNodes& nodes : found_) nodes.start_hop();
    for (size_t r = 0; r < graph_.size(); ++r) expand(r, fanouts[r]);
    for (FoundNodes& nodes : found_) nodes.finish_hop();
    ++hops_;
  }

  Sample results() const {
    Sample sample;
    auto& [nodes, batch, indptr, columns, edges, nodes_per_hop, edges_per_hop] = sample;
    std::vector<int64_t> node_counts, edge_counts;
    baseline::dispatch_index(type_ == ScalarType::Long, [&](auto i) {
      using I = typename decltype(i)::type;
      for (const FoundNodes& found : found_) {
        nodes.push_back(copied<I>(static_cast<const I*>(found.nodes()), found.count()));
        batch.push_back(copied<I>(found.batches(), found.batches() ? found.count() : 0));
        node_counts.insert(node_counts.end(), found.per_hop.begin(), found.per_hop.end());
      }
      for (size_t r = 0; r < graph_.size(); ++r) {
        const int64_t num_rows = found_[graph_[r].destination].count();
        indptr.push_back(allocate({num_rows + 1}, type_));
        drawn_[r].write_indptr(num_rows, static_cast<I*>(indptr.back().mutable_data_ptr()));
        columns.push_back(drawn_[r].columns());
        edges.push_back(drawn_[r].edges());
        edge_counts.insert(edge_counts.end(), drawn_[r].per_hop.begin(), drawn_[r].per_hop.end());
      }
    });
    nodes_per_hop = matrix(node_counts, found_.size());
    edges_per_hop = matrix(edge_counts, graph_.size());
    return sample;
  }

 private:
  void expand(size_t r, int64_t fanout) {
    Frontier frontier{};
    frontier.relation = graph_[r].data;
    frontier.limit = limits_.empty() ? nullptr : limits_.data();
    frontier.fanout = fanout;
    frontier.seed = options_.seed;
    frontier.stream = uint32_t(hops_ * graph_.size() + r);
    frontier.mode = options_.mode;
    frontier.replace = options_.replace;
    STD_TORCH_CHECK(frontier.stream < 1 << 16, "hops times relations must be below 2^16");
    drawn_[r].expand(frontier, found_[graph_[r].destination], found_[graph_[r].source]);
  }

  template <typename I, typename From>
  Tensor copied(const From* values, int64_t count) const {
    Tensor out = allocate({count}, type_);
    std::copy_n(values, count, static_cast<I*>(out.mutable_data_ptr()));
    return out;
  }

  static Tensor matrix(const std::vector<int64_t>& values, int64_t rows) {
    Tensor out = allocate({rows, rows ? int64_t(values.size()) / rows : 0}, ScalarType::Long);
    std::copy(values.begin(), values.end(), static_cast<int64_t*>(out.mutable_data_ptr()));
    return out;
  }

  SampleOptions options_;
  ScalarType type_;
  std::vector<SampledRelation> graph_;
  std::vector<DrawnEdges> drawn_;
  std::vector<FoundNodes> found_;
  std::vector<int64_t> limits_;
  uint64_t hops_ = 0;
};

}  // namespace graphkern
