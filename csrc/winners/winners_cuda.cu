#include "../common/words.h"
#include "winners_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// arg: [B, N, K], positions in [0, length) or -1. Others are passed over: finding them here would make each call wait
// for the device.
template <typename I>
Winners<I> winners_of(Call& call, const Tensor& arg, int64_t length) {
  const int64_t features = arg.size(2);
  return {call.read<I>(arg), arg.numel(), length, Divisor(arg.size(1) * features), Divisor(features)};
}

// value, arg: [B, N, K]. Returns [B, length, K]
Tensor put_winners_cuda(Tensor value, Tensor arg, int64_t length) {
  Call call(value);
  Tensor out = call.allocate({value.size(0), length, value.size(2)}, value.scalar_type());
  const int64_t value_bytes = int64_t(value.element_size()), bytes = out.numel() * value_bytes;
  dispatch_word(bytes % 16 == 0 ? 16 : value_bytes, [&](auto word) {
    using Word = typename decltype(word)::type;
    const int64_t words = bytes / int64_t(sizeof(Word));
    launch(call.stream(), words, clear<Word>, write<Word>(out), words);
  });
  dispatch_index(arg, [&](auto i) {
    const auto winners = winners_of<typename decltype(i)::type>(call, arg, length);
    dispatch_word(value_bytes, [&](auto word) {
      using Word = typename decltype(word)::type;
      using I = typename decltype(i)::type;
      launch(call.stream(), winners.size, put_at_winners<Word, I>, winners, call.read<Word>(value), write<Word>(out));
    });
  });
  Call::check_launch();
  return out;
}

// x: [B, L, K], arg: [B, N, K]. Returns [B, N, K]
Tensor take_winners_cuda(Tensor x, Tensor arg) {
  Call call(x);
  Tensor out = call.allocate({arg.size(0), arg.size(1), arg.size(2)}, x.scalar_type());
  dispatch_index(arg, [&](auto i) {
    const auto winners = winners_of<typename decltype(i)::type>(call, arg, x.size(1));
    dispatch_word(int64_t(x.element_size()), [&](auto word) {
      using Word = typename decltype(word)::type;
      using I = typename decltype(i)::type;
      launch(call.stream(), winners.size, take_at_winners<Word, I>, winners, call.read<Word>(x), write<Word>(out));
    });
  });
  Call::check_launch();
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) {
  m.impl("put_winners", TORCH_BOX(&put_winners_cuda));
  m.impl("take_winners", TORCH_BOX(&take_winners_cuda));
}
