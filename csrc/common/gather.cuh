// Rows of memory copied to consecutive places. Values are only moved, so words stand for them.
#pragma once

#include "launch.cuh"

namespace graphkern::cuda {

// out[entry] = the row at source.row(entry), zeros where that is null. out: [entries, words]. 2^lane_bits lanes a row;
// those of a long one begin where a line of memory does: host memory is then asked for each line once.
template <typename Word, typename Source>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    copy_words(Source source, Word* __restrict__ out, int64_t entries, int64_t words, int lane_bits) {
  constexpr int64_t kLineBytes = 128;
  const int64_t lanes = int64_t(1) << lane_bits, step_bytes = lanes * int64_t(sizeof(Word));
  for (int64_t i = first_item(); i < entries << lane_bits; i += item_stride()) {
    const int64_t entry = i >> lane_bits, lane = i & (lanes - 1);
    const Word* from = static_cast<const Word*>(source.row(entry));
    const int64_t line = step_bytes < kLineBytes ? step_bytes : kLineBytes;
    const int64_t lead = words > lanes ? (reinterpret_cast<uintptr_t>(from) & (line - 1)) / sizeof(Word) : 0;
    for (int64_t word = lane - lead; word < words; word += lanes) {
      if (word >= 0) out[entry * words + word] = from ? from[word] : Word{};
    }
  }
}

// Source: const void* row(int64_t entry) const. As many lanes a row as it has words, up to a warp.
template <typename Word, typename Source>
void copy_rows(Stream stream, const Source& source, void* out, int64_t entries, int64_t row_bytes) {
  const int64_t words = row_bytes / int64_t(sizeof(Word));
  int lane_bits = 0;
  while (lane_bits < 5 && int64_t(1) << lane_bits < words) ++lane_bits;
  launch(
      stream, entries << lane_bits, copy_words<Word, Source>, source, static_cast<Word*>(out), entries, words,
      lane_bits);
}

}  // namespace graphkern::cuda
