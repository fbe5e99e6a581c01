// Work on the rows of a graph, shared out among all threads. Results never depend on how many there are.
#pragma once

#include <atomic>

#include "checks.h"
#include "rows.h"

namespace graphkern {

// Edges [begin, end) of a long row.
struct Piece {
  int64_t row, begin, end;
};

// The pieces of all rows with more than kLongRow edges, in order. Such a row holds an edge whose position is a multiple
// of kLongRow, so only those positions are looked up.
template <typename I>
std::vector<Piece> long_row_pieces(const I* indptr, int64_t num_rows) {
  std::vector<Piece> pieces;
  const int64_t num_edges = indptr[num_rows];
  for (int64_t position = kLongRow; position < num_edges; position += kLongRow) {
    if (!pieces.empty() && position < pieces.back().end) continue;
    const int64_t row = std::upper_bound(indptr, indptr + num_rows, I(position)) - indptr - 1;
    const int64_t stop = indptr[row + 1];
    if (stop - int64_t(indptr[row]) <= kLongRow) continue;
    for (int64_t begin = indptr[row]; begin < stop; begin += kLongRow) {
      pieces.push_back({row, begin, std::min(begin + kLongRow, stop)});
    }
  }
  return pieces;
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

// Calls piece(i) for each of the pieces and rows(row_begin, row_end) over all rows, in any order. Chunks of rows have
// about the same number of edges and rows; what rows() does with a long row is its affair.
template <typename I, typename P, typename R>
void parallel_rows(
    const I* indptr, int64_t num_rows, int64_t operations_per_edge, int64_t num_pieces, const P& piece, const R& rows) {
  constexpr int64_t kChunksPerThread = 16;
  const int64_t total = int64_t(indptr[num_rows]) + num_rows;
  const int64_t threads = useful_threads(total * std::max<int64_t>(1, operations_per_edge));
  const int64_t chunks = threads == 1 ? 1 : threads * kChunksPerThread;
  const auto bound = [&](int64_t chunk) {
    if (chunk == chunks) return num_rows;
    const int64_t wanted = total / chunks * chunk;
    int64_t low = 0, high = num_rows;  // first row that begins at or after `wanted`
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (int64_t(indptr[middle]) + middle < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  parallel_tasks(num_pieces + chunks, threads, [&](int64_t task) {
    if (task < num_pieces) return piece(task);
    const int64_t begin = bound(task - num_pieces), end = bound(task - num_pieces + 1);
    if (begin < end) rows(begin, end);
  });
}

template <typename P, typename R>
void parallel_rows(
    const Tensor& indptr, int64_t operations_per_edge, const std::vector<Piece>& pieces, const P& piece,
    const R& rows) {
  baseline::dispatch_index(is_64bit(indptr), [&](auto i) {
    using I = typename decltype(i)::type;
    const I* bounds = static_cast<const I*>(indptr.const_data_ptr());
    parallel_rows(bounds, indptr.size(0) - 1, operations_per_edge, pieces.size(), piece, rows);
  });
}

template <typename R>
void parallel_rows(const Tensor& indptr, int64_t operations_per_edge, const R& rows) {
  parallel_rows(indptr, operations_per_edge, {}, [](int64_t) {}, rows);
}

inline std::vector<Piece> long_row_pieces(const Tensor& indptr) {
  std::vector<Piece> pieces;
  baseline::dispatch_index(is_64bit(indptr), [&](auto i) {
    using I = typename decltype(i)::type;
    pieces = long_row_pieces(static_cast<const I*>(indptr.const_data_ptr()), indptr.size(0) - 1);
  });
  return pieces;
}

// Reduces each row: rows(begin, end) all but the long ones; piece(p, partial) one piece of a long row into its own
// `partial`; merge(row, partials, n) a long row's n consecutive partials, of `bytes` each, into the row's result.
template <typename R, typename P, typename M>
void reduce_rows(
    const Tensor& indptr, int64_t operations_per_edge, int64_t bytes, const R& rows, const P& piece, const M& merge) {
  const std::vector<Piece> pieces = long_row_pieces(indptr);
  std::vector<char> partials(pieces.size() * bytes);
  const auto reduce_piece = [&](int64_t i) { piece(pieces[i], partials.data() + i * bytes); };
  parallel_rows(indptr, operations_per_edge, pieces, reduce_piece, rows);
  for (size_t first = 0, last = 0; first < pieces.size(); first = last) {
    while (last < pieces.size() && pieces[last].row == pieces[first].row) ++last;
    merge(pieces[first].row, partials.data() + first * bytes, int64_t(last - first));
  }
}

}  // namespace graphkern
