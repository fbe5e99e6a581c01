#include "../common/isa.h"

#ifdef GK_LAUNCHER
#include "../common/index_checks.h"
#include "sampler.h"

namespace graphkern {
namespace {

std::vector<Tensor> as_contiguous(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> result;
  for (const Tensor& t : tensors) result.push_back(graphkern::as_contiguous(t));
  return result;
}

// Renumbering in order takes a third of the time of one thread: two share a sample well if one of them does it while
// the other draws. From so many threads on it pays to list edges by shard, three times the work, and to renumber in
// parallel.
constexpr int64_t kManyThreads = 4;

// Whether a sample is large enough for that.
bool is_large(const std::vector<Tensor>& seeds, const std::vector<int64_t>& fanouts, size_t relations) {
  constexpr int64_t kLarge = 32768;
  int64_t edges = 0;
  for (const Tensor& t : seeds) edges += t.size(0);
  for (size_t i = 0; i < fanouts.size() && edges > 0 && edges < kLarge; i += relations) {
    const int64_t fanout = *std::max_element(fanouts.begin() + i, fanouts.begin() + i + relations);
    edges = fanout < 0 ? kLarge : edges * fanout;
  }
  return edges >= kLarge;
}

// See ops/sample_neighbors/reference.py.
Sample sample_neighbors(
    const std::vector<Tensor>& indptr, const std::vector<Tensor>& indices, const std::vector<Tensor>& edge_id,
    const std::vector<int64_t>& source, const std::vector<int64_t>& destination, const std::vector<Tensor>& seeds,
    const std::vector<Tensor>& weight, const std::vector<Tensor>& time, const std::vector<Tensor>& seed_time,
    const std::vector<int64_t>& num_nodes, const std::vector<int64_t>& fanouts, const std::string& mode, bool replace,
    bool disjoint, bool node_time, int64_t seed) {
  const std::vector<Tensor> pointers = as_contiguous(indptr), neighbors = as_contiguous(indices);
  const std::vector<Tensor> ids = as_contiguous(edge_id);
  const std::vector<Tensor> starts = as_contiguous(seeds), weights = as_contiguous(weight), times = as_contiguous(time);
  std::vector<SampledRelation> graph;
  for (size_t r = 0; r < indptr.size(); ++r) {
    Relation data{};
    data.is_64bit = is_64bit(indptr[r]);
    data.indptr = pointer(pointers[r]);
    data.indices = pointer(neighbors[r]);
    data.edge_id = ids[r].numel() > 0 ? pointer(ids[r]) : nullptr;
    data.is_double = !weight.empty() && weights[r].scalar_type() == ScalarType::Double;
    data.weight = weight.empty() ? nullptr : pointer(weights[r]);
    data.time = time.empty() ? nullptr : static_cast<const int64_t*>(pointer(times[r]));
    data.node_time = node_time;
    graph.push_back({data, source[r], destination[r]});
    check_index(starts[destination[r]], "seeds", indptr[r].size(0) - 1);
  }
  std::vector<int64_t> limits;
  for (const Tensor& t : as_contiguous(seed_time)) {
    const int64_t* values = static_cast<const int64_t*>(pointer(t));
    limits.insert(limits.end(), values, values + t.size(0));
  }
  STD_TORCH_CHECK(mode != "last" || !time.empty(), "the last edges need times");
  STD_TORCH_CHECK(limits.empty() || disjoint, "times need disjoint subgraphs");
  const Mode kind = mode == "labor" ? Mode::labor : mode == "last" ? Mode::last : Mode::uniform;
  const size_t relations = graph.size();
  const int64_t most = num_nodes.empty() ? 0 : *std::max_element(num_nodes.begin(), num_nodes.end());
  const bool sharded = torch::stable::get_num_threads() >= kManyThreads && is_large(seeds, fanouts, relations);
  Sampler sampler({kind, replace, disjoint, uint64_t(seed)}, graph, starts, limits, most, sharded);
  for (size_t i = 0; i < fanouts.size(); i += relations) sampler.hop(fanouts.data() + i);
  return sampler.results();
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("sample_neighbors", TORCH_BOX(&graphkern::sample_neighbors)); }
#endif
