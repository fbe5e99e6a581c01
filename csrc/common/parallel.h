// Segments of consecutive entries (the rows of a graph are those of its edges), in one or more batches, shared out
// among all threads. Results never depend on how many there are.
#pragma once

#include <atomic>

#include "checks.h"
#include "rows.h"

namespace graphkern {

// Whether indptr [size] never decreases.
GK_DECLARE_KERNEL(bool, ascends, const void* indptr, bool is_64bit, int64_t size)

// Entries [begin, end) of a long row.
struct Piece {
  int64_t row, begin, end;
};

// indptr: [S + 1], contiguous, on the host.
struct Segments {
  const void* indptr;
  bool is_64bit;
  int64_t count;  // S

  explicit Segments(const Tensor& t) : indptr(pointer(t)), is_64bit(graphkern::is_64bit(t)), count(t.size(0) - 1) {}

  int64_t operator[](int64_t s) const {
    return is_64bit ? static_cast<const int64_t*>(indptr)[s] : static_cast<const int32_t*>(indptr)[s];
  }

  // Refuses values that would lead out of [0, length], or leave some of it out where it shall be covered.
  void check(int64_t length, bool whole = false) const {
    const int64_t first = (*this)[0], last = (*this)[count];
    STD_TORCH_CHECK(GK_KERNEL(ascends)(indptr, is_64bit, count + 1), "indptr must never decrease");
    STD_TORCH_CHECK(
        first >= 0 && last <= length && (!whole || (first == 0 && last == length)), "indptr must ",
        whole ? "cover" : "stay in", " [0, ", length, "] but runs from ", first, " to ", last);
  }

  // The pieces of all segments with more than kLongRow entries, in order. Such a segment holds a multiple of kLongRow,
  // so only those positions are looked up.
  std::vector<Piece> long_pieces() const {
    std::vector<Piece> pieces;
    const int64_t last = (*this)[count];
    for (int64_t at = ((*this)[0] + kLongRow - 1) / kLongRow * kLongRow; at < last; at += kLongRow) {
      if (!pieces.empty() && at < pieces.back().end) continue;
      const int64_t segment = first_after(0, count, [&](int64_t s) { return (*this)[s] <= at; }) - 1;
      const int64_t stop = (*this)[segment + 1];
      if (stop - (*this)[segment] <= kLongRow) continue;
      for (int64_t begin = (*this)[segment]; begin < stop; begin += kLongRow) {
        pieces.push_back({segment, begin, std::min(begin + kLongRow, stop)});
      }
    }
    return pieces;
  }

  // The first of [low, high) for which before() is false, high where there is none.
  template <typename F>
  static int64_t first_after(int64_t low, int64_t high, const F& before) {
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (before(middle)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

// Calls f(row, its first piece, how many it has) for each row that was cut.
template <typename F>
void for_long_rows(const std::vector<Piece>& pieces, const F& f) {
  for (size_t first = 0, last = 0; first < pieces.size(); first = last) {
    while (last < pieces.size() && pieces[last].row == pieces[first].row) ++last;
    f(pieces[first].row, int64_t(first), int64_t(last - first));
  }
}

// Calls task(i) for each i of [0, num_tasks) once, on `threads` threads, each taking the next task when it is free.
template <typename F>
void parallel_tasks(int64_t num_tasks, int64_t threads, const F& task) {
  if (threads <= 1 || num_tasks <= 1) {
    for (int64_t i = 0; i < num_tasks; ++i) task(i);
    return;
  }
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      for (int64_t i = next++; i < num_tasks; i = next++) task(i);
    }
  });
}

// Threads worth starting for so many scalar operations.
inline int64_t useful_threads(int64_t operations) {
  constexpr int64_t kMinOperations = 32768;
  return std::clamp<int64_t>(operations / kMinOperations, 1, torch::stable::get_num_threads());
}

// Calls other(i) for i in [0, num_others) and rows(batch, begin, end) over the segments of each batch, in any order.
// Chunks of segments have about the same number of entries and segments.
template <typename P, typename R>
void parallel_segments(
    const Segments& segments, int64_t batches, int64_t operations_per_entry, int64_t num_others, const P& other,
    const R& rows) {
  constexpr int64_t kChunksPerThread = 16;
  const int64_t count = segments.count, first = count ? segments[0] : 0;
  const int64_t load = count ? segments[count] - first + count : 0, total = batches * load;
  const int64_t threads = useful_threads(total * std::max<int64_t>(1, operations_per_entry));
  const int64_t chunks = count == 0 ? 0 : threads == 1 ? 1 : threads * kChunksPerThread;
  const auto bound = [&](int64_t chunk) {  // counts the segments of one batch after those of another
    if (chunk == chunks) return batches * count;
    const int64_t wanted = total / chunks * chunk;
    return Segments::first_after(0, batches * count, [&](int64_t i) {
      return i / count * load + segments[i % count] - first + i % count < wanted;
    });
  };
  parallel_tasks(num_others + chunks, threads, [&](int64_t task) {
    if (task < num_others) return other(task);
    const int64_t end = bound(task - num_others + 1);
    for (int64_t begin = bound(task - num_others); begin < end;) {
      const int64_t segment = begin % count, taken = std::min(count - segment, end - begin);
      rows(begin / count, segment, segment + taken);
      begin += taken;
    }
  });
}

// As above for the rows of a graph: piece(i) for each of num_pieces, rows(begin, end) over all rows; what that does
// with a long row is its affair.
template <typename P, typename R>
void parallel_rows(
    const Tensor& indptr, int64_t operations_per_edge, int64_t num_pieces, const P& piece, const R& rows) {
  parallel_segments(
      Segments(indptr), 1, operations_per_edge, num_pieces, piece,
      [&](int64_t, int64_t begin, int64_t end) { rows(begin, end); });
}

template <typename R>
void parallel_rows(const Tensor& indptr, int64_t operations_per_edge, const R& rows) {
  parallel_rows(indptr, operations_per_edge, 0, [](int64_t) {}, rows);
}

// Reduces each segment: rows(batch, begin, end) all but the long ones; piece(batch, p, partial) one piece of a long
// one into its own `partial`; merge(batch, segment, partials, n) its n consecutive partials, of `bytes` each.
template <typename R, typename P, typename M>
void reduce_segments(
    const Segments& segments, int64_t batches, int64_t operations_per_entry, int64_t bytes, const R& rows,
    const P& piece, const M& merge) {
  const std::vector<Piece> pieces = segments.long_pieces();
  const int64_t count = pieces.size();
  std::vector<char> partials(batches * count * bytes);
  const auto reduce_piece = [&](int64_t i) { piece(i / count, pieces[i % count], partials.data() + i * bytes); };
  parallel_segments(segments, batches, operations_per_entry, batches * count, reduce_piece, rows);
  for_long_rows(pieces, [&](int64_t segment, int64_t first, int64_t n) {
    for (int64_t batch = 0; batch < batches; ++batch) {
      merge(batch, segment, partials.data() + (batch * count + first) * bytes, n);
    }
  });
}

template <typename R, typename P, typename M>
void reduce_rows(
    const Tensor& indptr, int64_t operations_per_edge, int64_t bytes, const R& rows, const P& piece, const M& merge) {
  reduce_segments(
      Segments(indptr), 1, operations_per_edge, bytes, [&](int64_t, int64_t begin, int64_t end) { rows(begin, end); },
      [&](int64_t, const Piece& p, void* partial) { piece(p, partial); },
      [&](int64_t, int64_t row, void* partials, int64_t count) { merge(row, partials, count); });
}

}  // namespace graphkern
