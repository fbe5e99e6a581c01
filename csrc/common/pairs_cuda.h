// What launchers of pair losses do with their tensors.
#pragma once

#include "cuda.h"
#include "pairs.cuh"

namespace graphkern::cuda {

// user: [U, D], item: [I, D], u, i, j: [B], values of u, i and j inside: finding out would make each call wait for the
// device.
template <typename T, typename I>
Pairs<T, I> read_pairs(
    Call& call, const Tensor& user, const Tensor& item, const Tensor& u, const Tensor& i,
    const std::optional<Tensor>& j) {
  return {call.read<T>(user), call.read<T>(item), call.read<I>(u), call.read<I>(i),
          call.read<I>(j),    u.size(0),          user.size(1)};
}

// Loss and its derivative by the score, [B] each. make(accumulation type tag) is the Loss of pair_losses.
template <typename F>
std::tuple<Tensor, Tensor> run_pair_losses(
    Call& call, const Tensor& user, const Tensor& item, const Tensor& u, const Tensor& i,
    const std::optional<Tensor>& j, const F& make) {
  Tensor loss = call.allocate({u.size(0)}, user.scalar_type()),
         slope = call.allocate({u.size(0)}, accumulate_type(user));
  dispatch(user, u, [&](auto t, auto index) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    const auto pairs = read_pairs<T, typename decltype(index)::type>(call, user, item, u, i, j);
    pair_losses(call.stream(), pairs, make(Tag<A>{}), write<T>(loss), write<A>(slope));
  });
  Call::check_launch();
  return {loss, slope};
}

}  // namespace graphkern::cuda
