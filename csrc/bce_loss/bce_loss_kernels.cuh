// loss = softplus(score) - label * score and its derivative by the score.
#pragma once

#include "../common/pairs.cuh"

namespace graphkern::cuda {

template <typename A>
struct BceLoss {
  const A* label;  // [B]

  __device__ void operator()(int64_t b, A score, A& loss, A& slope) const {
    const Logistic<A> of(score);
    // (1 - label) * score keeps what score - label * score would round away
    const A share = score > 0 ? 1 - label[b] : -label[b];
    loss = of.tail + share * score;
    slope = of.sigmoid - label[b];
  }
};

}  // namespace graphkern::cuda
