#include "sampler_cuda.h"

namespace {

using namespace graphkern::cuda;

template <typename I>
std::vector<SampledRelation<I>> read_graph(
    Call& call, const std::vector<Tensor>& indptr, const std::vector<Tensor>& indices,
    const std::vector<Tensor>& edge_id, const std::vector<int64_t>& source, const std::vector<int64_t>& destination,
    const std::vector<Tensor>& weight, const std::vector<Tensor>& time, bool node_time) {
  std::vector<SampledRelation<I>> graph;
  for (size_t r = 0; r < indptr.size(); ++r) {
    Relation<I> data{};
    data.indptr = call.read<I>(indptr[r]);
    data.indices = call.read<I>(indices[r]);
    data.edge_id = edge_id[r].numel() > 0 ? call.read<I>(edge_id[r]) : nullptr;
    data.weight = weight.empty() ? nullptr : call.read<void>(weight[r]);
    data.time = time.empty() ? nullptr : call.read<int64_t>(time[r]);
    data.num_rows = indptr[r].size(0) - 1;
    data.num_edges = indices[r].size(0);
    data.is_double = !weight.empty() && weight[r].scalar_type() == ScalarType::Double;
    data.node_time = node_time;
    graph.push_back({data, source[r], destination[r]});
  }
  return graph;
}

// The latest times of all subgraphs, one type of seeds after the other.
const int64_t* read_limits(Call& call, const std::vector<Tensor>& seed_time) {
  int64_t count = 0;
  for (const Tensor& t : seed_time) count += t.size(0);
  int64_t* limits = static_cast<int64_t*>(call.workspace(count * int64_t(sizeof(int64_t))));
  int64_t* to = limits;
  for (const Tensor& t : seed_time) {
    launch(call.stream(), t.size(0), copy_values<int64_t, int64_t>, call.read<int64_t>(t), t.size(0), to);
    to += t.size(0);
  }
  return limits;
}

// See ops/sample_neighbors/reference.py. The graph may lie in pinned host memory, which kernels read in place; the
// seeds say on which device.
Sample sample_neighbors_cuda(
    std::vector<Tensor> indptr, std::vector<Tensor> indices, std::vector<Tensor> edge_id, std::vector<int64_t> source,
    std::vector<int64_t> destination, std::vector<Tensor> seeds, std::vector<Tensor> weight, std::vector<Tensor> time,
    std::vector<Tensor> seed_time, std::vector<int64_t> num_nodes, std::vector<int64_t> fanouts, std::string mode,
    bool replace, bool disjoint, bool node_time, int64_t seed) {
  STD_TORCH_CHECK(!indptr.empty(), "expected a relation");
  STD_TORCH_CHECK(fanouts.size() < 1 << 16, "hops times relations must be below 2^16");
  STD_TORCH_CHECK(mode != "last" || !time.empty(), "the last edges need times");
  STD_TORCH_CHECK(seed_time.empty() || disjoint, "times need disjoint subgraphs");
  int64_t num_seeds = 0, most_nodes = 0;
  for (const Tensor& t : seeds) num_seeds += t.size(0);
  for (const int64_t count : num_nodes) most_nodes = std::max(most_nodes, count);
  STD_TORCH_CHECK(
      !disjoint || (num_seeds < int64_t(1) << (64 - kNodeBits) && most_nodes <= int64_t(1) << kNodeBits),
      "disjoint subgraphs: at most 2^24 seeds and 2^40 nodes");
  const Mode kind = mode == "labor" ? Mode::labor : mode == "last" ? Mode::last : Mode::uniform;
  Call call(seeds[0]);
  Sample sample;
  dispatch_index(indptr[0], [&](auto i) {
    using I = typename decltype(i)::type;
    Sampler<I> sampler(
        call, {kind, replace, disjoint, uint64_t(seed)},
        read_graph<I>(call, indptr, indices, edge_id, source, destination, weight, time, node_time), num_nodes, fanouts,
        seed_time.empty() ? nullptr : read_limits(call, seed_time));
    sampler.start(seeds);
    for (size_t hop = 0; hop < fanouts.size() / indptr.size(); ++hop) sampler.run(int64_t(hop));
    sample = sampler.results();
  });
  Call::check_launch();
  return sample;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("sample_neighbors", TORCH_BOX(&sample_neighbors_cuda)); }
