// loss = softplus(-score) and its derivative by the score.
#pragma once

#include "../common/pairs.cuh"

namespace graphkern::cuda {

template <typename A>
struct BprLoss {
  __device__ void operator()(int64_t, A score, A& loss, A& slope) const {
    const Logistic<A> of(-score);
    loss = of.tail + (score < 0 ? -score : A(0));
    slope = -of.sigmoid;
  }
};

}  // namespace graphkern::cuda
