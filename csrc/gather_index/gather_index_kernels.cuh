// The way back of a scatter: rows or values taken by an index. Values are only moved, so words stand for them.
#pragma once

#include "../common/scatter.cuh"

namespace graphkern::cuda {

// out[b, e] = x[b, place of e]; 0 where the index is out of range. x: [repeats, G, words], out: [repeats, E, words];
// see scatter.cuh.
template <typename Word, typename I>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm) gather_words(
    ScatterIndex<I> index, const Word* __restrict__ x, Word* __restrict__ out, int64_t repeats, Divisor entries,
    Divisor words) {
  const int64_t num_places = index.num_places();
  for (int64_t i = first_item(); i < repeats * entries.value() * words.value(); i += item_stride()) {
    const int64_t at = words.quotient(i), batch = entries.quotient(at);
    const int64_t place = index.place(entries.remainder(at, batch));
    const int64_t from = (batch * num_places + place) * words.value() + words.remainder(i, at);
    out[i] = place < num_places ? x[from] : Word{};
  }
}

// row_bytes: of what an entry of the index stands for.
template <typename Word, typename I>
void gather_index(
    Stream stream, const ScatterIndex<I>& index, const void* x, void* out, int64_t repeats, int64_t row_bytes) {
  const int64_t words = row_bytes / int64_t(sizeof(Word)), entries = index.num_entries();
  launch(
      stream, repeats * entries * words, gather_words<Word, I>, index, static_cast<const Word*>(x),
      static_cast<Word*>(out), repeats, Divisor(entries), Divisor(words));
}

}  // namespace graphkern::cuda
