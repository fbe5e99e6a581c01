// The frontier of a hop, how one relation expands it, and how the threads of a warp or block go over a row together.
#pragma once

#include "../common/random.cuh"
#include "../common/rows.cuh"
#include "../common/warp.cuh"

namespace graphkern::cuda {

enum class Mode : int { uniform, last, labor };

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15ull;
constexpr int64_t kTooMany = int64_t(1) << 32;  // edges of a row, or of a hop
constexpr int64_t kHeavyRow = 2 * kChunk;       // edges; above, a block takes a row where a warp would else

// Edges of one relation: its rows are expanded into the columns of their edges. edge_id: [E] what stands for each edge
// in the results, or null: its position; weight: [E] float or double, or null; time: [E] or (node_time) that of the
// columns, or null
template <typename I>
struct Relation {
  const I *indptr, *indices, *edge_id;
  const void* weight;
  const int64_t* time;
  int64_t num_rows, num_edges;
  bool is_double, node_time;

  __device__ double weight_at(int64_t edge) const {
    return is_double ? static_cast<const double*>(weight)[edge] : double(static_cast<const float*>(weight)[edge]);
  }
  __device__ int64_t time_at(int64_t edge) const { return time[node_time ? int64_t(indices[edge]) : edge]; }
};

// How a row draws. Draw j is the word of lane j % 4 at counter (j / 4, stream + 2^16 * attempt, node low, node high),
// key seed, or in subgraph b seed + (b + 1) * kGolden; attempt counts rejections.
struct DrawOptions {
  int64_t fanout;
  uint64_t seed;
  uint32_t stream;
  Mode mode;
  bool replace;
};

// Counts are read from device memory: the host knows bounds only.
template <typename I>
struct Frontier {
  Relation<I> relation;
  DrawOptions draw;
  const I* node;          // found so far, of the type of the rows; the frontier are those in [*first, *last)
  const uint32_t* batch;  // the subgraph of each, or null
  const int64_t *first, *last;
  const int64_t* limit;  // [subgraphs] latest time allowed, or null
  int64_t most_rows;
  int64_t* start;           // [rows] the first edge of each
  uint32_t *degree, *size;  // [rows] all edges, and those that may be drawn
  int64_t *taken, *offset;  // [rows] edges drawn; [most_rows + 1] where they begin

  __device__ int64_t num_rows() const { return *last - *first; }
  __device__ int64_t node_of(int64_t row) const { return int64_t(node[*first + row]); }
  __device__ uint32_t batch_of(int64_t row) const { return batch[*first + row]; }
  __device__ uint64_t key_of(int64_t row) const {
    return batch != nullptr ? draw.seed + (uint64_t(batch_of(row)) + 1) * kGolden : draw.seed;
  }

  __host__ __device__ bool is_filtered() const { return relation.weight != nullptr || limit != nullptr; }
  // Which edges a row takes follows from its degree and its draws alone.
  __host__ __device__ bool is_simple() const { return draw.mode == Mode::uniform && !is_filtered(); }
  // A row takes those that come first in an order.
  __host__ __device__ bool is_ordered() const {
    return draw.mode == Mode::last || (draw.mode == Mode::uniform && relation.weight != nullptr && !draw.replace);
  }
  __device__ bool takes_all(int64_t size) const { return draw.fanout < 0 || (!draw.replace && size <= draw.fanout); }
  __device__ int64_t count_of(int64_t size) const { return size == 0 || takes_all(size) ? size : draw.fanout; }

  __device__ bool may_draw(int64_t edge, int64_t latest) const {
    return (limit == nullptr || relation.time_at(edge) <= latest) &&
           (relation.weight == nullptr || relation.weight_at(edge) > 0);
  }
  // A warp keeps in its lanes what comes first, and no more.
  __device__ bool is_heavy(int64_t row) const {
    return degree[row] > kHeavyRow || (is_ordered() && draw.fanout > kWarp && degree[row] > draw.fanout);
  }
};

// The edges drawn from a relation: those of this hop are [*first, *last), none if there are too many.
// edge: what stands for each, or meanwhile its position; column: the node it leads to, then that node's local position
template <typename I>
struct HopEdges {
  I *edge, *column;
  const int64_t *first, *last;
  int64_t most;

  __device__ int64_t count() const { return *last - *first; }
};

// The threads that work on a row together: a warp or a block.
template <int threads>
struct Team {
  static constexpr int kThreads = threads;

  __device__ static int thread() { return int(threadIdx.x % kThreads); }

  // How many threads before this one say yes, and how many in all.
  __device__ static uint32_t before(bool yes, uint32_t& total) {
    if constexpr (kThreads == kWarp) {
      const unsigned mask = __ballot_sync(kAllLanes, yes);
      total = uint32_t(__popc(mask));
      return uint32_t(__popc(mask & ((1u << lane_id()) - 1)));
    } else {
      return exclusive_block_sum(uint32_t(yes), total);
    }
  }

  // Calls visit(row) for the light rows, a warp each, or for the heavy ones, a block each. [rows / 8] or [rows / 32]
  // blocks
  template <typename I, typename F>
  __device__ static void each_row(const Frontier<I>& f, const F& visit) {
    const int64_t rows = f.num_rows();
    if constexpr (kThreads == kWarp) {
      for (int64_t row = first_item() / kWarp; row < rows; row += item_stride() / kWarp) {
        if (!f.is_heavy(row)) visit(row);
      }
    } else {
      for (int64_t first = int64_t(blockIdx.x) * kWarp; first < rows; first += int64_t(gridDim.x) * kWarp) {
        const int64_t row = first + lane_id();
        unsigned heavy = __ballot_sync(kAllLanes, row < rows && f.is_heavy(row));  // the same in each warp
        for (; heavy != 0; heavy &= heavy - 1) visit(first + __ffs(int(heavy)) - 1);
      }
    }
  }

  // Calls visit(edge, rank, yes) for the edges of a row in turn: whether one may be drawn, and how many before it may
  // be. Returns how many may be.
  template <typename I, typename F>
  __device__ static uint32_t walk(const Frontier<I>& f, int64_t row, const F& visit) {
    const int64_t begin = f.start[row], end = begin + f.degree[row];
    const int64_t latest = f.limit != nullptr ? f.limit[f.batch_of(row)] : 0;
    uint32_t size = 0, total;
    for (int64_t first = begin; first < end; first += kThreads) {
      const int64_t edge = first + thread();
      const bool yes = edge < end && f.may_draw(edge, latest);
      const uint32_t rank = size + before(yes, total);
      visit(edge, rank, yes);
      size += total;
    }
    return size;
  }
};

using WarpTeam = Team<kWarp>;
using BlockTeam = Team<kBlock>;

// Where rows begin, and what they take if all their edges may be drawn. What cannot be sampled takes too many: a row
// that the relation lacks, or of 2^32 edges or more.
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) read_rows(Frontier<I> f) {
  const int64_t rows = f.num_rows();
  for (int64_t row = first_item(); row < rows; row += item_stride()) {
    const int64_t node = f.node_of(row);
    const bool is_row = node >= 0 && node < f.relation.num_rows;
    const int64_t start = is_row ? int64_t(f.relation.indptr[node]) : 0;
    const int64_t degree = is_row ? int64_t(f.relation.indptr[node + 1]) - start : kTooMany;
    f.start[row] = start;
    f.degree[row] = degree < kTooMany ? uint32_t(degree) : 0;
    f.taken[row] = degree < kTooMany ? f.count_of(degree) : kTooMany;
  }
}

// By one word for each column that all rows share an edge is taken with probability fanout / size: LABOR-0.
template <typename I>
__device__ inline bool labor_takes(const Frontier<I>& f, uint64_t key, int64_t edge, uint32_t size) {
  const uint32_t word = random_words(0, f.draw.stream, uint64_t(f.relation.indices[edge]), key).x;
  return int64_t(uint64_t(word) * size >> 32) < f.draw.fanout;
}

// What rows take where that depends on the values of their edges.
template <typename Team, typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) count_rows(Frontier<I> f) {
  Team::each_row(f, [&](int64_t row) {
    const uint32_t size = Team::walk(f, row, [](int64_t, uint32_t, bool) {});
    int64_t taken = f.count_of(size);
    if (f.draw.mode == Mode::labor && !f.takes_all(size)) {
      const uint64_t key = f.key_of(row);
      taken = 0;
      Team::walk(f, row, [&](int64_t edge, uint32_t, bool yes) {
        uint32_t total;
        Team::before(yes && labor_takes(f, key, edge, size), total);
        taken += total;
      });
    }
    if (Team::thread() == 0) {
      f.size[row] = size;
      if (f.taken[row] < kTooMany) f.taken[row] = taken;
    }
  });
}

}  // namespace graphkern::cuda
