#include "scan.h"

#include "../common/panels.h"
#include "../common/topk_keys.h"

namespace graphkern::GK_ISA {
namespace {

// Bit i: lane i of a comparison holds.
template <typename A, typename M>
inline uint64_t lanes_of(M mask) {
#if defined(__AVX2__)
  static_assert(sizeof(mask) == 32);
  if constexpr (sizeof(A) == 4) return _mm256_movemask_ps((__m256)mask);
  if constexpr (sizeof(A) == 8) return _mm256_movemask_pd((__m256d)mask);
#else
  uint64_t lanes = 0;
  for (int i = 0; i < kLanes<A>; ++i) lanes |= uint64_t(mask[i] & 1) << i;
  return lanes;
#endif
}

// Bit i: lane i is above the threshold. NaN never is.
template <typename A>
inline uint64_t lanes_above(Vec<A> v, A threshold) {
#if defined(__AVX512F__)
  if constexpr (sizeof(A) == 4) return _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(threshold), _CMP_GT_OQ);
  if constexpr (sizeof(A) == 8) return _mm512_cmp_pd_mask((__m512d)v, _mm512_set1_pd(threshold), _CMP_GT_OQ);
#else
  return lanes_of<A>(v > threshold);
#endif
}

// Whether any product is above the threshold of its row.
template <int kRows, typename A>
__attribute__((always_inline)) inline bool any_above(
    const Vec<A> (&product)[kRows][kPanelVectors], const A* threshold) {
#if defined(__AVX512F__)
  __mmask16 any = 0;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kPanelVectors; ++c) {
      any = _kor_mask16(any, __mmask16(lanes_above<A>(product[r][c], threshold[r])));
    }
  }
  return any != 0;
#else
  auto any = product[0][0] > threshold[0];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kPanelVectors; ++c) any |= product[r][c] > threshold[r];
  }
  return lanes_of<A>(any) != 0;
#endif
}

// Where the parts of a scan lie in its scratch memory.
template <typename A>
struct Scratch {
  int64_t tiles, panel, keys, rest, counts, thresholds, cursors, bytes;

  Scratch(int64_t num_rows, int64_t depth, int64_t capacity) {
    const int64_t padded = (num_rows + kTileRows - 1) / kTileRows * kTileRows;
    bytes = 0;
    tiles = take(padded * depth * sizeof(A));
    panel = take(kPanelWidth<A> * depth * sizeof(A));
    keys = take(num_rows * capacity * sizeof(Key<A>));
    rest = take(capacity * sizeof(Key<A>));
    counts = take(num_rows * 8);
    thresholds = take(padded * sizeof(A));
    cursors = take(num_rows * 8);
  }

 private:
  int64_t take(int64_t size) {
    const int64_t at = bytes;
    bytes += (size + 63) / 64 * 64;
    return at;
  }
};

// How many keys of a row call for a selection: the more, the rarer they are, and the later thresholds rise. Where
// scores rise with the column, most of a panel is above any threshold, and only rare selections help.
inline int64_t many_keys(int64_t k, bool is_dense) {
  const int64_t few = is_dense ? 96 : 32;
  return k + (k > few ? k : few);
}
template <typename A>
inline int64_t capacity(int64_t k) {
  return many_keys(k, true) + kPanelWidth<A>;
}

template <typename A>
class Scan {
 public:
  static constexpr int W = kPanelWidth<A>;

  Scan(const ScanBlock& block, char* scratch)
      : block_(block),
        capacity_(capacity<A>(block.k)),
        at_(block.num_rows, block.depth, capacity_),
        tiles_((A*)(scratch + at_.tiles)),
        panel_((A*)(scratch + at_.panel)),
        keys_((Key<A>*)(scratch + at_.keys)),
        rest_((Key<A>*)(scratch + at_.rest)),
        count_((int64_t*)(scratch + at_.counts)),
        threshold_((A*)(scratch + at_.thresholds)),
        cursor_((int64_t*)(scratch + at_.cursors)) {}

  void run() {
    start();
    for (int64_t item = next_panel(block_.item_begin); width_ > 0; item = next_panel(item)) {
      for (int64_t r = 0; r < block_.num_rows; r += kTileRows) {
        const A* tile = tiles_ + r * block_.depth;
        r + 1 == block_.num_rows ? this->tile<1>(r, tile) : this->tile<kTileRows>(r, tile);
      }
    }
  }

  void write(Key<A>* to, int64_t stride) {
    for (int64_t r = 0; r < block_.num_rows; ++r, to += stride) {
      Key<A>* keys = keys_ + r * capacity_;
      if (count_[r] > block_.k) select_largest(keys, count_[r], block_.k, rest_);
      for (int64_t i = 0; i < block_.k; ++i) to[i] = i < count_[r] ? keys[i] : 0;
    }
  }

 private:
  void start() {
    const int64_t rows = block_.num_rows, depth = block_.depth;
    dispatch_value(block_.query_value, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t r = 0; r < rows; r += kTileRows) {
        pack_tile((const T*)block_.query + r * depth, rows - r, depth, tiles_ + r * depth);
      }
    });
    for (int64_t r = 0; r < rows; ++r) {
      count_[r] = 0;
      threshold_[r] = -A(INFINITY);
      cursor_[r] = 0;
    }
    for (int64_t r = rows; r % kTileRows != 0; ++r) threshold_[r] = A(INFINITY);  // nothing is above
  }

  // Packs the next items from `item` on that may be returned; returns where the next panel begins.
  int64_t next_panel(int64_t item) {
    width_ = 0;
    for (; item < block_.item_end && width_ < W; ++item) {
      column_[width_] = item;
      width_ += !block_.mask || block_.mask[item] ? 1 : 0;
    }
    if (width_ == 0) return item;
    for (int i = width_; i < W; ++i) column_[i] = column_[0];
    A scale[W];
    if (block_.scale) {
      for (int i = 0; i < W; ++i) scale[i] = ((const A*)block_.scale)[column_[i]];
    }
    const A* factor = block_.scale ? scale : nullptr;
    if (block_.item.is_int8) {
      pack((const int8_t*)block_.item.data, factor);
    } else {
      dispatch_value(
          block_.item.value, [&](auto tag) { pack((const typename decltype(tag)::type*)block_.item.data, factor); });
    }
    return item;
  }

  template <typename T>
  void pack(const T* item, const A* scale) {
    const T* row[W];
    for (int i = 0; i < W; ++i) row[i] = item + column_[i] * block_.depth;
    pack_panel(row, block_.depth, scale, panel_);
    prefetch_after(item, column_[width_ - 1] + 1);
  }

  // Fetches the items of the next panel, as far as they follow, while this one is multiplied. Inlined by force: GCC
  // drops calls of a function that only prefetches.
  template <typename T>
  __attribute__((always_inline)) void prefetch_after(const T* item, int64_t next) {
    const int64_t left = block_.item_end - next, count = left < W ? left : W;
    const char* from = (const char*)(item + next * block_.depth);
    const int64_t bytes = count * block_.depth * sizeof(T);
    for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(from + line, 0, 2);
  }

  template <int kRows>
  void tile(int64_t first, const A* tile) {
    Vec<A> product[kRows][kPanelVectors];
    multiply_tile<kRows, A>(tile, panel_, block_.depth, product);
    if (__builtin_expect(!any_above<kRows, A>(product, threshold_ + first), 1)) return;
    A scores[kRows][W];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kPanelVectors; ++c) store(product[r][c], scores[r] + c * kLanes<A>);
    }
    for (int r = 0; r < kRows; ++r) {
      uint64_t above = 0;
      for (int c = 0; c < kPanelVectors; ++c) {
        above |= lanes_above<A>(load(scores[r] + c * kLanes<A>), threshold_[first + r]) << c * kLanes<A>;
      }
      if (above) take(first + r, scores[r], above);
    }
  }

  // Adds those scores of the panel whose bit is set in `above`.
  void take(int64_t r, const A* scores, uint64_t above) {
    if (width_ < W) above &= (uint64_t(1) << width_) - 1;
    if (block_.excluded) above &= ~excluded_lanes(r);
    Key<A>* keys = keys_ + r * capacity_;
    int64_t count = count_[r];
    const bool is_dense = __builtin_popcountll(above) > W / 3;
    for (; above; above &= above - 1) {
      const int lane = __builtin_ctzll(above);
      keys[count++] = key_of(scores[lane], Bits<A>(column_[lane]));
    }
    if (count > many_keys(block_.k, is_dense)) {
      select_largest(keys, count, block_.k, rest_);
      count = block_.k;
      Key<A> least = keys[0];
      for (int64_t i = 1; i < count; ++i) least = keys[i] < least ? keys[i] : least;
      threshold_[r] = score_of<A>(least);
    }
    count_[r] = count;
  }

  // Bit i: row r leaves out column i of the panel. Moves the row's cursor behind them.
  uint64_t excluded_lanes(int64_t r) {
    const ColumnSet& excluded = block_.excluded[r];
    const auto column = [&](int64_t i) {
      return block_.is_64bit ? ((const int64_t*)excluded.columns)[i] : ((const int32_t*)excluded.columns)[i];
    };
    int64_t at = cursor_[r];
    while (at < excluded.size && column(at) < column_[0]) ++at;
    uint64_t lanes = 0;
    for (; at < excluded.size && column(at) <= column_[width_ - 1]; ++at) {
      for (int i = 0; i < width_; ++i) lanes |= uint64_t(column_[i] == column(at)) << i;
    }
    cursor_[r] = at;
    return lanes;
  }

  const ScanBlock& block_;
  const int64_t capacity_;
  const Scratch<A> at_;
  A *tiles_, *panel_;
  Key<A>* keys_;       // [num_rows, capacity]
  Key<A>* rest_;       // for selection
  int64_t* count_;     // keys of each row
  A* threshold_;       // scores must exceed it to be kept
  int64_t* cursor_;    // excluded columns of each row that lie before the panel
  int64_t column_[W];  // of the panel
  int width_ = 0;      // columns of the panel that count
};

}  // namespace

int64_t scan_scratch(bool is_double, int64_t num_rows, int64_t depth, int64_t k) {
  if (is_double) return Scratch<double>(num_rows, depth, capacity<double>(k)).bytes;
  return Scratch<float>(num_rows, depth, capacity<float>(k)).bytes;
}

void scan_block(const ScanBlock& block, void* scratch, void* keys, int64_t stride) {
  dispatch_accumulate(block.is_double, [&](auto tag) {
    using A = typename decltype(tag)::type;
    Scan<A> scan(block, (char*)scratch);
    scan.run();
    scan.write((Key<A>*)keys, stride);
  });
}

}  // namespace graphkern::GK_ISA
