// Scores of (user, item) pairs and of (user, item, other item) triples, and the losses of scores.
#pragma once

#include "groups.cuh"

namespace graphkern::cuda {

// user: [U, depth], item: [I, depth], u, i, j: [B]; j is null for pairs. score[b] = user[u[b]] . (item[i[b]] -
// item[j[b]])
template <typename T, typename I>
struct Pairs {
  const T *user, *item;
  const I *u, *i, *j;
  int64_t batch, depth;
};

// What softplus(x) and its derivative are made of, with z = e^-|x|: no number overflows.
template <typename A>
struct Logistic {
  A tail;     // log(1 + z): softplus(x) - max(x, 0)
  A sigmoid;  // of x

  __device__ explicit Logistic(A x) {
    const A z = exp(-fabs(x));
    tail = log1p(z);
    sigmoid = (x > 0 ? A(1) : z) / (1 + z);
  }
};

// A group of lanes a pair, W features at a time. Loss: void operator()(int64_t b, A score, A& loss, A& slope).
// loss, slope: [B]
template <typename Loss, typename T, typename I, int W>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    score_pairs(Pairs<T, I> p, Loss of, int lanes, T* __restrict__ loss, Accumulate<T>* __restrict__ slope) {
  using A = Accumulate<T>;
  for_groups(lanes, p.batch, [&](int64_t b, bool present) {
    const T *user = p.user + int64_t(p.u[b]) * p.depth, *item = p.item + int64_t(p.i[b]) * p.depth;
    const T* other = p.j != nullptr ? p.item + int64_t(p.j[b]) * p.depth : nullptr;
    A score[1] = {0};
#pragma unroll 2
    for (int64_t d = lane_in_group(lanes) * W; d < p.depth; d += lanes * W) {
      const Vector<T, W> left = load<T, W>(user + d), right = load<T, W>(item + d);
      Vector<T, W> less{};
      if (other != nullptr) less = load<T, W>(other + d);
#pragma unroll
      for (int v = 0; v < W; ++v) {
        const A difference = to_accumulate(right.at[v]) - to_accumulate(less.at[v]);
        score[0] += to_accumulate(left.at[v]) * difference;
      }
    }
    sum_group(score, lanes);
    if (!present || lane_in_group(lanes) != 0) return;
    A of_score, by_score;
    of(b, score[0], of_score, by_score);
    loss[b] = from_accumulate<T>(of_score);
    slope[b] = by_score;
  });
}

template <typename Loss, typename T, typename I>
void pair_losses(Stream stream, const Pairs<T, I>& p, const Loss& of, T* loss, Accumulate<T>* slope) {
  dispatch_width<T>(p.depth, is_aligned(p.user) && is_aligned(p.item), [&](auto wide) {
    constexpr int W = decltype(wide)::width;
    const int lanes = group_lanes((p.depth + W - 1) / W);
    launch(stream, p.batch * lanes, score_pairs<Loss, T, I, W>, p, of, lanes, loss, slope);
  });
}

}  // namespace graphkern::cuda
