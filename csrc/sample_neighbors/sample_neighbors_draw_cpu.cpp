#include "draw.h"

namespace graphkern {

namespace GK_ISA {
namespace {

constexpr int64_t kAhead = 16;
constexpr int kBlock = 32;  // rows whose neighbors are fetched together

template <typename I>
inline RowDraws draws_of(const Frontier& f, int64_t row) {
  return {uint64_t(static_cast<const I*>(f.node)[row]), key_of(f, row), f.stream};
}

// Whether a row takes all its edges.
inline bool takes_all(const Frontier& f, int64_t size) { return f.fanout < 0 || (!f.replace && size <= f.fanout); }

// The rows of a block that draw: their words lie one after the other, four for each counter.
struct BlockWords {
  int64_t counters = 0;
  uint64_t index[kBlock * kBlockFanout / 4 + kWordLanes], node[kBlock * kBlockFanout / 4 + kWordLanes];
  uint64_t key[kBlock * kBlockFanout / 4 + kWordLanes];
  uint32_t words[kBlock * kBlockFanout + 4 * kWordLanes];

  void add(const RowDraws& draws, int64_t fanout) {
    for (int64_t i = 0; i < fanout; i += 4) {
      index[counters] = uint64_t(i / 4);
      node[counters] = draws.node;
      key[counters++] = draws.key;
    }
  }
  void draw(uint32_t stream) { draw_words(index, node, key, counters, stream, words); }
};

template <typename I>
__attribute__((always_inline)) inline void prefetch_edges(const I* from, int64_t count) {
  for (int64_t j = 0; j < count; j += int64_t(64 / sizeof(I))) __builtin_prefetch(from + j);
  __builtin_prefetch(from + count - 1);
}

template <typename I>
inline void draw_block(const Frontier& f, int64_t begin, int64_t end, I* edge, I* column) {
  const I *indices = static_cast<const I*>(f.relation.indices), *ids = static_cast<const I*>(f.relation.edge_id);
  const int64_t first = f.offset[begin], k = f.fanout;
  BlockWords block;
  for (int64_t row = begin; row < end; ++row) {
    if (f.degree[row] > 0 && !takes_all(f, f.degree[row])) block.add(draws_of<I>(f, row), k);
  }
  block.draw(f.stream);
  const uint32_t* words = block.words;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t start = f.start[row], degree = f.degree[row];
    I* to = edge + (f.offset[row] - first);
    if (degree == 0) continue;
    if (takes_all(f, degree)) {
      for (int64_t j = 0; j < degree; ++j) to[j] = I(start + j);
      prefetch_edges(indices + start, degree);
      if (ids) prefetch_edges(ids + start, degree);
      continue;
    }
    const RowDraws draws = draws_of<I>(f, row);
    uint32_t positions[kBlockFanout];
    if (f.replace) {
      for (int64_t j = 0; j < k; ++j) positions[j] = draws.bounded(words[j], uint32_t(j), uint32_t(degree));
    } else {
      draw_few(draws, words, k, uint32_t(degree), positions);
    }
    for (int64_t j = 0; j < k; ++j) {
      to[j] = I(start + positions[j]);
      __builtin_prefetch(indices + to[j]);
      if (ids) __builtin_prefetch(ids + to[j]);
    }
    words += (k + 3) / 4 * 4;
  }
  const int64_t count = f.offset[end] - first;
  for (int64_t e = 0; e < count; ++e) column[e] = indices[edge[e]];
  for (int64_t e = 0; ids && e < count; ++e) edge[e] = ids[edge[e]];
}

inline double weight_at(const Relation& r, int64_t edge) {
  return r.is_double ? static_cast<const double*>(r.weight)[edge] : double(static_cast<const float*>(r.weight)[edge]);
}
template <typename I>
inline int64_t time_at(const Relation& r, int64_t edge) {
  return r.time[r.node_time ? int64_t(static_cast<const I*>(r.indices)[edge]) : edge];
}

// Sorts ascending: an insertion sort for the few, else a heap sort.
template <typename T>
inline void sort(T* values, int64_t count) {
  if (count <= 32) {
    for (int64_t i = 1; i < count; ++i) {
      const T value = values[i];
      int64_t at = i;
      for (; at > 0 && value < values[at - 1]; --at) values[at] = values[at - 1];
      values[at] = value;
    }
    return;
  }
  const auto sift = [&](int64_t at, int64_t size) {
    const T value = values[at];
    for (int64_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
      child += child + 1 < size && values[child] < values[child + 1];
      if (!(value < values[child])) break;
      values[at] = values[child];
      at = child;
    }
    values[at] = value;
  };
  for (int64_t at = count / 2 - 1; at >= 0; --at) sift(at, count);
  for (int64_t size = count - 1; size > 0; --size) {
    const T greatest = values[0];
    values[0] = values[size];
    values[size] = greatest;
    sift(0, size);
  }
}

// One row: which of its `size` edges may be drawn, then which of them are.
template <typename I>
struct RowSampler {
  const Frontier& f;
  const Scratch& s;
  const RowDraws draws;
  int64_t start, size;  // size: of `eligible` from now on
  bool filtered;

  RowSampler(const Frontier& frontier, const Scratch& scratch, int64_t row)
      : f(frontier),
        s(scratch),
        draws(draws_of<I>(frontier, row)),
        start(f.start[row]),
        size(f.degree[row]),
        filtered(f.relation.weight || f.limit) {
    if (!filtered) return;
    const int64_t limit = f.limit ? f.limit[f.batch[row]] : 0, degree = size;
    size = 0;
    for (int64_t j = 0; j < degree; ++j) {
      s.eligible[size] = start + j;
      size += (!f.limit || time_at<I>(f.relation, start + j) <= limit) &&
              (!f.relation.weight || weight_at(f.relation, start + j) > 0);
    }
  }

  int64_t edge(int64_t rank) const { return filtered ? s.eligible[rank] : start + rank; }

  int64_t all(I* out) const {
    for (int64_t i = 0; i < size; ++i) out[i] = I(edge(i));
    return size;
  }

  int64_t uniform(I* out) const {
    const int64_t k = f.fanout;
    draws.words(0, (k + 3) / 4, s.words);
    if (f.replace) {
      for (int64_t j = 0; j < k; ++j) s.positions[j] = draws.bounded(s.words[j], uint32_t(j), uint32_t(size));
    } else {
      std::memset(s.taken, 0, (s.taken_mask + 1) * sizeof(*s.taken));
      draw_subset(
          draws, s.words, k, uint32_t(size), [&](uint32_t value) { return is_taken(value); },
          [&](int64_t j, uint32_t position) {
            s.positions[j] = position;
            take(position);
          });
    }
    for (int64_t j = 0; j < k; ++j) out[j] = I(edge(s.positions[j]));
    return k;
  }

  // In proportion to weight, with replacement: the first edge whose running sum exceeds a share of the total.
  int64_t proportional(I* out) const {
    double total = 0;
    for (int64_t i = 0; i < size; ++i) s.sums[i] = total += weight_at(f.relation, edge(i));
    draws.words(0, (f.fanout + 3) / 4, s.words);
    for (int64_t j = 0; j < f.fanout; ++j) {
      const double share = double(s.words[j]) * 0x1p-32 * total;
      int64_t low = 0, high = size - 1;
      while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (s.sums[middle] > share) {
          high = middle;
        } else {
          low = middle + 1;
        }
      }
      out[j] = I(edge(low));
    }
    return f.fanout;
  }

  // In proportion to weight, without replacement: those whose clocks ring first, after an exponential time divided by
  // the weight.
  int64_t heaviest(I* out) const {
    constexpr int64_t kStep = 4 * kWordLanes;
    constexpr int L = kLanes<double>;
    Least least{reinterpret_cast<Least::Entry*>(s.heap), f.fanout};
    for (int64_t first = 0; first < size; first += kStep) {
      uint32_t words[kStep];
      draws.words(first / 4, kStep / 4, words);
      for (int64_t i = first; i < size && i < first + kStep; i += L) {
        const Vec<double> time = exponential(words + (i - first));
        for (int64_t lane = 0; lane < L && i + lane < size; ++lane) {
          const double clock = time[lane] / weight_at(f.relation, edge(i + lane));
          least.offer({bit_cast<int64_t>(clock), i + lane});
        }
      }
    }
    return taken_by(least, out);
  }

  // The latest ones; of equal times the last.
  int64_t latest(I* out) const {
    Least least{reinterpret_cast<Least::Entry*>(s.heap), f.fanout};
    for (int64_t i = 0; i < size; ++i) least.offer({-time_at<I>(f.relation, edge(i)), -i});
    for (int64_t i = 0; i < least.count; ++i) least.heap[i].tie = -least.heap[i].tie;
    return taken_by(least, out);
  }

  // Each with probability fanout / size, by one word for each column that all rows share: LABOR-0.
  int64_t labor(I* out) const {
    const I* indices = static_cast<const I*>(f.relation.indices);
    int64_t count = 0;
    for (int64_t first = 0; first < size; first += kWordLanes) {
      const int64_t lanes = size - first < kWordLanes ? size - first : kWordLanes;
      uint64_t index[kWordLanes] = {}, node[kWordLanes] = {}, key[kWordLanes];
      uint32_t words[4 * kWordLanes];
      for (int64_t i = 0; i < kWordLanes; ++i) key[i] = draws.key;
      for (int64_t i = 0; i < lanes; ++i) node[i] = uint64_t(indices[edge(first + i)]);
      draw_words(index, node, key, kWordLanes, f.stream, words);
      for (int64_t i = 0; i < lanes; ++i) {
        out[count] = I(edge(first + i));
        count += int64_t(uint64_t(words[4 * i]) * uint64_t(size) >> 32) < f.fanout;
      }
    }
    return count;
  }

  int64_t draw(I* out) const {
    if (size == 0 || f.fanout == 0) return 0;
    if (takes_all(f, size)) return all(out);
    if (f.mode == Mode::labor) return labor(out);
    if (f.mode == Mode::last) return latest(out);
    if (!f.relation.weight) return uniform(out);
    return f.replace ? proportional(out) : heaviest(out);
  }

 private:
  int64_t home(uint32_t value) const { return int64_t(value * 0x9E3779B97F4A7C15ull >> 32) & s.taken_mask; }
  bool is_taken(uint32_t value) const {
    int64_t at = home(value);
    while (s.taken[at] != 0 && s.taken[at] != uint64_t(value) + 1) at = (at + 1) & s.taken_mask;
    return s.taken[at] != 0;
  }
  void take(uint32_t value) const {
    int64_t at = home(value);
    while (s.taken[at] != 0) at = (at + 1) & s.taken_mask;
    s.taken[at] = uint64_t(value) + 1;
  }

  // In CSR order.
  int64_t taken_by(const Least& least, I* out) const {
    for (int64_t i = 0; i < least.count; ++i) out[i] = I(edge(least.heap[i].tie));
    sort(out, least.count);
    return least.count;
  }
};

}  // namespace

bool read_degrees(const Frontier& f, int64_t begin, int64_t end) {
  bool good = true;
  dispatch_index(f.relation.is_64bit, [&](auto i) {
    using I = typename decltype(i)::type;
    const I *indptr = static_cast<const I*>(f.relation.indptr), *node = static_cast<const I*>(f.node);
    const bool exact = f.mode == Mode::uniform || f.mode == Mode::last;
    for (int64_t row = begin; row < end; ++row) {
      if (row + kAhead < end) __builtin_prefetch(indptr + node[row + kAhead]);
      const int64_t start = indptr[node[row]], degree = int64_t(indptr[node[row] + 1]) - start;
      good &= degree <= std::numeric_limits<uint32_t>::max();
      f.start[row] = start;
      f.degree[row] = uint32_t(degree);
      const bool all = takes_all(f, degree) || degree == 0 || !exact;
      f.offset[row + 1] = all ? degree : f.fanout;
    }
  });
  return good;
}

void draw_uniform(const Frontier& f, int64_t begin, int64_t end, void* edge, void* column) {
  dispatch_index(f.relation.is_64bit, [&](auto i) {
    using I = typename decltype(i)::type;
    I *edges = static_cast<I*>(edge), *columns = static_cast<I*>(column);
    for (int64_t row = begin; row < end; row += kBlock) {
      const int64_t first = f.offset[row] - f.offset[begin];
      draw_block<I>(f, row, row + kBlock < end ? row + kBlock : end, edges + first, columns + first);
    }
  });
}

void draw_any(const Frontier& f, int64_t begin, int64_t end, const Scratch& scratch, void* out, int64_t* count) {
  dispatch_index(f.relation.is_64bit, [&](auto i) {
    using I = typename decltype(i)::type;
    I* to = static_cast<I*>(out);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t drawn = RowSampler<I>(f, scratch, row).draw(to);
      count[row - begin] = drawn;
      to += drawn;
    }
  });
}

void read_columns(const Relation& r, void* edge, int64_t count, void* column) {
  dispatch_index(r.is_64bit, [&](auto i) {
    using I = typename decltype(i)::type;
    const I *indices = static_cast<const I*>(r.indices), *ids = static_cast<const I*>(r.edge_id);
    I *edges = static_cast<I*>(edge), *columns = static_cast<I*>(column);
    for (int64_t e = 0; e < count; ++e) {
      if (e + kAhead < count) {
        __builtin_prefetch(indices + edges[e + kAhead]);
        if (ids) __builtin_prefetch(ids + edges[e + kAhead]);
      }
      columns[e] = indices[edges[e]];
      if (ids) edges[e] = ids[edges[e]];
    }
  });
}

}  // namespace GK_ISA
}  // namespace graphkern
