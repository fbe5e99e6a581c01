// Which edges of the rows of a frontier are drawn: the bits of ops/sample_neighbors/reference.py.
#pragma once

#include "frontier.cuh"

namespace graphkern::cuda {

// Floyd's subset sampling by the lanes of a warp, some of them a row: draw j is `value` of [0, last], and `last`, which
// is new with this draw, where the value was drawn before. It was where an earlier value is the same, or where an
// earlier draw whose `last` it is gave that. Returns whether it was. repeated: whether it was before this warp's draws;
// group: the first lane of the row; parent: the lane whose `last` the value is, or one that is none of the row before
__device__ inline bool is_repeated(bool draws, bool repeated, uint32_t value, int group, int64_t parent) {
  const int lane = lane_id();
  const unsigned long long none = 1ull << 40;
  const unsigned long long word = draws ? static_cast<unsigned long long>(group) << 32 | value : none + unsigned(lane);
  const unsigned earlier = __match_any_sync(kAllLanes, word) & ((1u << lane) - 1);
  const bool has_parent = draws && parent >= group && parent < lane;
  repeated |= draws && earlier != 0;
  while (true) {
    const unsigned known = __ballot_sync(kAllLanes, repeated);
    const bool more = has_parent && !repeated && (known >> parent & 1) != 0;
    if (!__any_sync(kAllLanes, more)) return repeated;
    repeated |= more;
  }
}

// The positions that rows draw among the edges that they may, in drawing order; of rows that take all: anything.
// `width` lanes a row, a power of two that holds the fanout, or a warp. positions: [rows, fanout]
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) draw_positions(Frontier<I> f, int width, uint32_t* positions) {
  const int64_t rows = f.num_rows(), fanout = f.draw.fanout;
  const int group = lane_id() / width * width, place = lane_id() % width, rows_per_warp = kWarp / width;
  for (int64_t first = first_item() / kWarp * rows_per_warp; first < rows;
       first += item_stride() / kWarp * rows_per_warp) {
    const int64_t row = first + group / width;
    const int64_t size = row < rows ? int64_t(f.size[row]) : 0;
    const bool is_random = size > 0 && !f.takes_all(size);
    const uint64_t node = is_random ? uint64_t(f.node_of(row)) : 0, key = is_random ? f.key_of(row) : 0;
    uint32_t* its = positions + row * fanout;
    for (int64_t begin = 0; begin < fanout; begin += width) {
      const int64_t j = begin + place;
      const bool draws = is_random && j < fanout;
      const uint32_t last = uint32_t(size - fanout + j);
      const uint32_t word = random_words(uint32_t(j / 4), f.draw.stream, node, key)[j % 4];
      uint32_t value =
          bounded(word, draws ? (f.draw.replace ? uint32_t(size) : last + 1) : 0, j, node, key, f.draw.stream);
      if (!f.draw.replace) {
        bool repeated = false;
        for (int64_t i = 0; draws && i < begin; ++i) repeated |= its[i] == value;
        repeated = is_repeated(draws, repeated, value, group, int64_t(value) - (size - fanout) - begin + group);
        if (repeated) value = last;
      }
      if (draws) its[j] = value;
      if (fanout > width) __syncwarp();
    }
  }
}

// Keeps its result from being contracted with an addition: every machine gets the same bits.
__device__ inline double rounded_product(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

// -log2((word + 1) / 2^32): log2 m = 2 / ln 2 * atanh((m - 1) / (m + 1)), m in [sqrt(0.5), sqrt(2)).
__device__ inline double exponential(uint32_t word) {
  const int64_t bits = bit_cast<int64_t>(double(word) + 1);
  double mantissa = bit_cast<double>((bits & 0x000FFFFFFFFFFFFF) | 0x3FE0000000000000);
  int64_t exponent = (bits >> 52) - 1022;
  if (mantissa < 0.70710678118654752) {
    mantissa *= 2;
    exponent -= 1;
  }
  const double t = (mantissa - 1) / (mantissa + 1), t2 = t * t;
  double series = 1.0 / 13;
  series = rounded_product(series, t2) + 1.0 / 11;
  series = rounded_product(series, t2) + 1.0 / 9;
  series = rounded_product(series, t2) + 1.0 / 7;
  series = rounded_product(series, t2) + 1.0 / 5;
  series = rounded_product(series, t2) + 1.0 / 3;
  series = rounded_product(series, t2) + 1.0;
  return double(32 - exponent) - rounded_product(rounded_product(series, t), 2.8853900817779268);
}

// A place of an edge of a row among the others: the first are taken. No two are the same.
struct Order {
  uint64_t key;
  uint32_t tie;

  __device__ bool operator<(const Order& other) const {
    return key < other.key || (key == other.key && tie < other.tie);
  }
};

// In mode last the latest come first, and of equal times the last; else those whose clocks ring first, after an
// exponential time divided by the weight.
template <typename I>
__device__ inline Order order_of(const Frontier<I>& f, uint64_t node, uint64_t key, int64_t edge, uint32_t rank) {
  if (f.draw.mode == Mode::last) return {~uint64_t(f.relation.time_at(edge)), ~rank};
  const uint32_t word = random_words(rank / 4, f.draw.stream, node, key)[rank % 4];
  const int64_t clock = bit_cast<int64_t>(exponential(word) / f.relation.weight_at(edge));
  return {uint64_t(clock) ^ uint64_t(1) << 63, rank};  // as the sign of an integer sorts
}

// The last that is taken of a light row. The lanes of the warp have those that come first so far, ascending.
template <typename I>
__device__ inline Order last_taken(WarpTeam, const Frontier<I>& f, int64_t row) {
  const uint64_t node = uint64_t(f.node_of(row)), key = f.key_of(row);
  const int taken = int(f.draw.fanout);
  const auto of_lane = [](const Order& mine, int lane) {
    return Order{
        __shfl_sync(kAllLanes, static_cast<unsigned long long>(mine.key), lane),
        __shfl_sync(kAllLanes, mine.tie, lane)};
  };
  constexpr Order kNone{~uint64_t(0), ~uint32_t(0)};
  Order mine = kNone;
  WarpTeam::walk(f, row, [&](int64_t edge, uint32_t rank, bool yes) {
    Order offer = yes ? order_of(f, node, key, edge, rank) : kNone;
    while (true) {
      const unsigned better = __ballot_sync(kAllLanes, offer < of_lane(mine, taken - 1));
      if (better == 0) return;
      const int from = __ffs(int(better)) - 1;
      const Order next = of_lane(offer, from), above = of_lane(mine, lane_id() > 0 ? lane_id() - 1 : 0);
      const int place = __popc(__ballot_sync(kAllLanes, mine < next));
      if (lane_id() == from) offer = kNone;
      if (lane_id() >= place) mine = lane_id() == place ? next : above;
    }
  });
  return of_lane(mine, taken - 1);
}

// The last that is taken of a heavy row: of 12 digits one after the other, by counting the edges that share those
// before.
template <typename I>
__device__ inline Order last_taken(BlockTeam, const Frontier<I>& f, int64_t row) {
  static_assert(kBlock == 256);
  GPU_SHARED(unsigned, count, [kBlock]);  // of each digit
  GPU_SHARED(uint32_t, found, [3]);       // the digit, how many of its edges are taken, and how many there are
  const uint64_t node = uint64_t(f.node_of(row)), key = f.key_of(row);
  Order last{0, 0}, known{0, 0};  // known: a mask of the digits that are
  uint32_t left = uint32_t(f.draw.fanout);
#pragma unroll 1
  for (int shift = 88; shift >= 0; shift -= 8) {
    count[threadIdx.x] = 0;  // the walk has barriers
    BlockTeam::walk(f, row, [&](int64_t edge, uint32_t rank, bool yes) {
      if (!yes) return;
      const Order order = order_of(f, node, key, edge, rank);
      if (((order.key ^ last.key) & known.key) != 0 || ((order.tie ^ last.tie) & known.tie) != 0) return;
      atomicAdd(&count[(shift >= 32 ? order.key >> (shift - 32) : uint64_t(order.tie >> shift)) & 255], 1u);
    });
    __syncthreads();
    const uint32_t mine = count[threadIdx.x];
    uint32_t total;
    const uint32_t before = exclusive_block_sum(mine, total);
    if (before < left && left <= before + mine) {
      found[0] = threadIdx.x;
      found[1] = left - before;
      found[2] = mine;
    }
    __syncthreads();
    left = found[1];
    if (shift >= 32) {
      last.key |= uint64_t(found[0]) << (shift - 32);
      known.key |= uint64_t(255) << (shift - 32);
    } else {
      last.tie |= found[0] << shift;
      known.tie |= 255u << shift;
    }
    if (left == found[2]) break;  // all that share these digits
  }
  return {last.key | ~known.key, last.tie | ~known.tie};
}

// Calls visit(edge, weight, sum of the weights up to it) for the edges of a row in turn, by a warp. The order of
// additions is given, so nothing is gained by more threads.
template <typename I, typename F>
__device__ inline double add_weights(const Frontier<I>& f, int64_t row, const F& visit) {
  const int64_t begin = f.start[row], end = begin + f.degree[row];
  const int64_t latest = f.limit != nullptr ? f.limit[f.batch_of(row)] : 0;
  double sum = 0;
  for (int64_t first = begin; first < end; first += kWarp) {
    const int64_t edge = first + lane_id();
    const double mine = edge < end && f.may_draw(edge, latest) ? f.relation.weight_at(edge) : 0;
    const int count = end - first < kWarp ? int(end - first) : kWarp;
    for (int i = 0; i < count; ++i) {
      const double weight = __shfl_sync(kAllLanes, mine, i);
      sum += weight;  // by 0 where the edge may not be drawn
      visit(first + i, weight, sum);
    }
  }
  return sum;
}

// In proportion to weight, with replacement: the first edge whose running sum exceeds a share of the total. A lane a
// draw.
template <typename Team, typename I>
__device__ inline void draw_proportional(const Frontier<I>& f, int64_t row, I* out) {
  const uint64_t node = uint64_t(f.node_of(row)), key = f.key_of(row);
  const int first_lane = Team::thread() - lane_id();
  if (first_lane >= f.draw.fanout) return;
  const double total = add_weights(f, row, [](int64_t, double, double) {});
  for (int64_t first = first_lane; first < f.draw.fanout; first += Team::kThreads) {
    const int64_t j = first + lane_id();
    const uint32_t word = random_words(uint32_t(j / 4), f.draw.stream, node, key)[j % 4];
    const double share = double(word) * 0x1p-32 * total;
    int64_t chosen = 0;
    bool found = false;
    add_weights(f, row, [&](int64_t edge, double weight, double sum) {
      if (!found && weight > 0) chosen = edge;  // the last one, if none exceeds it
      found |= sum > share;
    });
    if (j < f.draw.fanout) out[j] = I(chosen);
  }
}

// The edges that rows draw, where that depends on their values. positions: of draw_positions, or null
template <typename Team, typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    draw_rows(Frontier<I> f, const uint32_t* positions, HopEdges<I> edges) {
  if (edges.count() == 0) return;
  Team::each_row(f, [&](int64_t row) {
    const int64_t fanout = f.draw.fanout, size = f.size[row];
    if (f.taken[row] == 0) return;
    I* out = edges.edge + *edges.first + f.offset[row];
    const bool all = f.takes_all(size);
    if (!all && f.draw.mode == Mode::uniform && f.draw.replace && f.relation.weight != nullptr) {
      return draw_proportional<Team>(f, row, out);
    }
    if (!all && positions != nullptr) {
      Team::walk(f, row, [&](int64_t e, uint32_t rank, bool yes) {
        for (int64_t j = 0; yes && j < fanout; ++j) {
          if (positions[row * fanout + j] == rank) out[j] = I(e);
        }
      });
      return;
    }
    const bool ordered = f.is_ordered();
    const Order last = !all && ordered ? last_taken(Team{}, f, row) : Order{0, 0};
    const uint64_t node = uint64_t(f.node_of(row)), key = f.key_of(row);
    uint32_t written = 0, total;
    Team::walk(f, row, [&](int64_t e, uint32_t rank, bool yes) {
      const bool takes =
          yes &&
          (all || (ordered ? !(last < order_of(f, node, key, e, rank)) : labor_takes(f, key, e, uint32_t(size))));
      const uint32_t place = written + Team::before(takes, total);
      if (takes) out[place] = I(e);
      written += total;
    });
  });
}

}  // namespace graphkern::cuda
