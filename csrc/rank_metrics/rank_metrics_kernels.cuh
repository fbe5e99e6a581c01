// Ranking metrics of top-k lists. A warp finds the hits of a user with few test items, one a lane; a block those of one
// with many, by windows of items. Which places are hits then gives the metrics, 32 places at a time.
#pragma once

#include "../common/scan.cuh"
#include "../common/windows.cuh"

#ifndef GPU_USER_GROUPS
#define GPU_USER_GROUPS 4096  // tests choose few
#endif

namespace graphkern::cuda {

constexpr int kMetrics = 7;  // recall, ndcg, hr, mrr, map, f1, precision
constexpr int kMaxCuts = 8;

// Where lists are cut: ks[0, count), ascending. gain: of a hit at place r; ideal: of hits at all places before r.
struct Cuts {
  int64_t ks[kMaxCuts];
  int count;
  const double *gain, *ideal;

  __host__ __device__ int64_t depth() const { return ks[count - 1]; }
  __host__ __device__ int width() const { return count * kMetrics; }
};

// gain[r] = 1 / log2(r + 2)
inline __global__ void __launch_bounds__(kBlock) make_gains(int64_t depth, double* gain) {
  for (int64_t r = first_item(); r < depth; r += item_stride()) gain[r] = log(2.0) / log(double(r + 2));
}

// topk: [num_users, num_ranks]. out: [cuts.width(), num_users], or null where only means are wanted.
template <typename I>
struct RankArguments {
  const int64_t* topk;
  const I *indptr, *indices;
  double* out;
  int64_t num_users, num_ranks;
  Cuts cuts;

  // Users go in groups of consecutive ones, and so do sums over them.
  __host__ __device__ int64_t num_groups() const { return num_users < GPU_USER_GROUPS ? num_users : GPU_USER_GROUPS; }
  __device__ int64_t group_begin(int64_t group) const {
    const int64_t share = num_users / num_groups(), rest = num_users % num_groups();
    return group * share + (group < rest ? group : rest);
  }
  __device__ int64_t degree(int64_t user) const { return int64_t(indptr[user + 1]) - int64_t(indptr[user]); }
};

// By a warp: the metrics of a user with num_test > 0 distinct test items at each cut, lane m that of metric m.
// hits_of(begin): bit r: place begin + r is a hit, the same for all lanes. take(cut, metric).
template <typename Hits, typename Take>
__device__ inline void measure(const Cuts& cuts, int64_t num_test, const Hits& hits_of, const Take& take) {
  const int m = lane_id();
  double gain = 0, precision = 0;  // of this lane's places
  int64_t found = 0, first = -1;
  int cut = 0;
  for (int64_t begin = 0; begin < cuts.depth(); begin += kWarp) {
    const unsigned hits = hits_of(begin);
    const int64_t place = begin + lane_id();
    const bool is_hit = (hits >> lane_id() & 1) != 0;
    const int64_t before = found + __popc(hits & ((1u << lane_id()) - 1));
    const double own_gain = is_hit ? cuts.gain[place] : 0;
    const double own_precision = is_hit ? double(before + 1) / double(place + 1) : 0;
    if (first < 0 && hits != 0) first = begin + __ffs(int(hits)) - 1;
    for (; cut < cuts.count && cuts.ks[cut] <= begin + kWarp; ++cut) {
      const int64_t k = cuts.ks[cut];
      const bool counts = place < k;
      const double gains = fold_lanes(gain + (counts ? own_gain : 0));
      const double precisions = fold_lanes(precision + (counts ? own_precision : 0));
      const double h = double(found + __popc(hits & kAllLanes >> (kWarp - int(k - begin))));
      const bool any = first >= 0 && first < k;
      const double over = m == 1 ? gains : m == 2 || m == 3 ? double(any) : m == 4 ? precisions : m == 5 ? 2 * h : h;
      const double under = m == 1   ? cuts.ideal[k < num_test ? k : num_test]
                           : m == 2 ? 1.0
                           : m == 3 ? double(any ? first + 1 : 1)
                           : m == 5 ? double(num_test + k)
                           : m == 6 ? double(k)
                                    : double(num_test);
      if (m < kMetrics) take(cut, over / under);
    }
    gain += own_gain;
    precision += own_precision;
    found += __popc(hits);
  }
}

// What a warp does with the metrics of its users: writes them, or adds them up. sums: [kMaxCuts * kMetrics] of this
// warp in shared memory.
template <typename I>
class Account {
 public:
  __device__ Account(const RankArguments<I>& arguments, double* sums) : a_(arguments), sums_(sums) {}

  __device__ void open() {
    num_users_ = 0;
    if (lane_id() >= kMetrics) return;
    for (int i = lane_id(); i < a_.cuts.width(); i += kMetrics) sums_[i] = 0;
  }

  template <typename Hits>
  __device__ void add(int64_t user, int64_t num_test, const Hits& hits_of) {
    num_users_ += 1;
    measure(a_.cuts, num_test, hits_of, [&](int cut, double metric) {
      const int at = cut * kMetrics + lane_id();
      if (a_.out != nullptr) {
        a_.out[at * a_.num_users + user] = metric;
      } else {
        sums_[at] += metric;
      }
    });
  }

  __device__ void add_nothing(int64_t user) const {
    if (a_.out == nullptr) return;
    for (int i = lane_id(); i < a_.cuts.width(); i += kWarp) a_.out[i * a_.num_users + user] = double(NAN);
  }

  // part: [cuts.width() + 1], the number of users last. Each lane writes what it has summed up.
  __device__ void close(double* part) const {
    if (a_.out != nullptr) return;
    if (lane_id() < kMetrics) {
      for (int i = lane_id(); i < a_.cuts.width(); i += kMetrics) part[i] = sums_[i];
    }
    if (lane_id() == 0) part[a_.cuts.width()] = double(num_users_);
  }

 private:
  const RankArguments<I>& a_;
  double* sums_;
  int64_t num_users_ = 0;
};

// Users with at most a test item a lane; one warp a group. parts: [num_groups, cuts.width() + 1]
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) score_light_users(const RankArguments<I> a, double* parts) {
  GPU_SHARED(double, sums, [kBlock / kWarp][kMaxCuts * kMetrics]);
  Account<I> account(a, sums[warp_id()]);
  constexpr int kWarps = kBlock / kWarp;
  for (int64_t group = int64_t(blockIdx.x) * kWarps + warp_id(); group < a.num_groups();
       group += int64_t(gridDim.x) * kWarps) {
    account.open();
    for (int64_t user = a.group_begin(group); user < a.group_begin(group + 1); ++user) {
      const int64_t degree = a.degree(user);
      if (degree == 0) account.add_nothing(user);
      if (degree == 0 || degree > kWarp) continue;
      const int64_t* list = a.topk + user * a.num_ranks;
      const int64_t item = lane_id() < degree ? int64_t(a.indices[a.indptr[user] + lane_id()]) : -2;
      const unsigned same = __match_any_sync(kAllLanes, item);
      bool waits = item >= 0 && __ffs(int(same)) - 1 == lane_id();
      const int64_t num_test = __popc(__ballot_sync(kAllLanes, waits));
      account.add(user, num_test, [&](int64_t begin) {
        const int size = int(a.cuts.depth() - begin < kWarp ? a.cuts.depth() - begin : kWarp);
        const int64_t listed = lane_id() < size ? list[begin + lane_id()] : -1;
        unsigned hits = 0;
        for (int r = 0; r < size; ++r) {
          const bool is_hit = __shfl_sync(kAllLanes, listed, r) == item && waits;
          if (__any_sync(kAllLanes, is_hit)) hits |= 1u << r;
          waits = waits && !is_hit;
        }
        return hits;
      });
    }
    account.close(parts + group * (a.cuts.width() + 1));
  }
}

// By a block: which places of a list are hits, 32 a word, and the number of distinct test items. Of the places that
// have an item the first clears its bit.
template <typename I>
__device__ inline int64_t find_hits(
    const I* items, int64_t count, const int64_t* list, int64_t depth, unsigned* bits, unsigned* hits) {
  int64_t num_test = 0;
  for (Windows<I> windows(items, count, bits); windows.next(); num_test += windows.size()) {
    for (int64_t begin = 0; warp_id() == 0 && begin < depth; begin += kWarp) {
      const int64_t item = begin + lane_id() < depth ? list[begin + lane_id()] : -1, place = item - windows.begin();
      bool is_hit = __ffs(int(__match_any_sync(kAllLanes, item))) - 1 == lane_id() && place >= 0 && place < kWindowBits;
      if (is_hit) {
        const unsigned bit = 1u << (place % 32);
        is_hit = (atomicAnd(&bits[place / 32], ~bit) & bit) != 0;
      }
      const unsigned found = __ballot_sync(kAllLanes, is_hit);
      if (lane_id() == 0) hits[begin / kWarp] = num_test == 0 ? found : hits[begin / kWarp] | found;
    }
  }
  return num_test;
}

// The other users; one block a group. hits: [gridDim.x, places of a list / 32, rounded up]
template <typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    score_heavy_users(const RankArguments<I> a, unsigned* hits, double* parts) {
  GPU_SHARED(double, sums, [kMaxCuts * kMetrics]);
  GPU_SHARED(unsigned, bits, [kWindowWords]);
  Account<I> account(a, sums);  // of the first warp
  const int64_t depth = a.cuts.depth();
  unsigned* own = hits + blockIdx.x * ((depth + kWarp - 1) / kWarp);
  for (int64_t group = blockIdx.x; group < a.num_groups(); group += gridDim.x) {
    const int64_t end = a.group_begin(group + 1);
    if (warp_id() == 0) account.open();
    for (int64_t user = a.group_begin(group); user < end; ++user) {
      const int64_t degree = a.degree(user);
      if (degree <= kWarp) continue;
      const int64_t num_test =
          find_hits(a.indices + a.indptr[user], degree, a.topk + user * a.num_ranks, depth, bits, own);
      if (warp_id() == 0) account.add(user, num_test, [&](int64_t begin) { return own[begin / kWarp]; });
    }
    if (warp_id() == 0) account.close(parts + group * (a.cuts.width() + 1));
  }
}

// means[i]: the sum of part[., i] over the number of users. One block a mean.
inline __global__ void __launch_bounds__(kBlock)
    mean_of_parts(const double* __restrict__ parts, int64_t num_parts, int width, double* __restrict__ means) {
  for (int i = blockIdx.x; i < width; i += gridDim.x) {
    double sum = 0, users = 0, sums, all;
    for (int64_t part = threadIdx.x; part < num_parts; part += kBlock) {
      sum += parts[part * (width + 1) + i];
      users += parts[part * (width + 1) + width];
    }
    exclusive_block_sum(sum, sums);
    exclusive_block_sum(users, all);
    if (threadIdx.x == 0) means[i] = sums / all;
  }
}

// a.out, or means [a.cuts.width()]. allocate(bytes) gives device memory that lives until the kernels ran.
template <typename I, typename Allocate>
void rank_metrics(Stream stream, RankArguments<I> a, double* means, Allocate&& allocate) {
  const int64_t depth = a.cuts.depth(), groups = a.num_groups(), width = a.cuts.width();
  double* gain = static_cast<double*>(allocate(depth * 8));
  double* ideal = static_cast<double*>(allocate((depth + 1) * 8));
  launch(stream, depth, make_gains, depth, gain);
  exclusive_scan<double>(stream, ReadValue<double>{gain}, depth, ideal, allocate);
  a.cuts.gain = gain;
  a.cuts.ideal = ideal;
  constexpr int64_t kHeavyBlocks = 132 * 8;
  const int64_t blocks = groups < kHeavyBlocks ? groups : kHeavyBlocks;
  double* parts = means != nullptr ? static_cast<double*>(allocate(2 * groups * (width + 1) * 8)) : nullptr;
  unsigned* hits = static_cast<unsigned*>(allocate(blocks * ((depth + kWarp - 1) / kWarp) * 4));
  launch(stream, groups * kWarp, score_light_users<I>, a, parts);
  launch_blocks(
      stream, blocks, kBlock, 0, score_heavy_users<I>, a, hits,
      means != nullptr ? parts + groups * (width + 1) : nullptr);
  if (means != nullptr) {
    launch_blocks(stream, width, kBlock, 0, mean_of_parts, parts, 2 * groups, int(width), means);
  }
}

}  // namespace graphkern::cuda
