#include "relabel.h"

namespace graphkern::GK_ISA {
namespace {

constexpr int64_t kAhead = 12;

inline uint64_t hash(uint64_t word) { return word * 0x9E3779B97F4A7C15ull; }
// Shards go by the top bits of the hash, slots by lower ones.
inline int shard_of(uint64_t word) { return int(hash(word) >> (64 - kShardBits)); }

template <typename W>
struct Slot {
  W word;
  uint32_t position;
};

template <typename W>
struct Slots {
  static constexpr W kEmpty = ~W(0);
  Slot<W>* slots;
  int64_t mask;

  explicit Slots(const Table& t) : slots(static_cast<Slot<W>*>(t.slots)), mask(t.mask) {}

  int64_t home(W word) const { return int64_t(hash(word) >> (64 - kShardBits - 32)) & mask; }
  __attribute__((always_inline)) void prefetch(W word) const { __builtin_prefetch(slots + home(word), 1); }

  // The slot that has `word`, or the empty one where it goes. One branch for both ends: which it is cannot be foreseen.
  int64_t find(W word) const {
    int64_t at = home(word);
    while (true) {
      const W there = slots[at].word;
      if (W((there ^ word) & W(0 - W(there != kEmpty))) == 0) return at;
      at = (at + 1) & mask;
    }
  }
};

// The word of the node that each edge leads to.
template <typename I, typename W>
struct Words {
  I* column;
  const uint32_t* batch;

  explicit Words(const HopEdges& e) : column(static_cast<I*>(e.column)), batch(e.batch) {}

  W operator[](int64_t e) const {
    if constexpr (sizeof(W) == 4) {
      return W(column[e]);
    } else {
      return W(column[e]) | (batch ? W(batch[e]) << kNodeBits : 0);
    }
  }
};

template <typename F>
inline void dispatch_words(bool is_64bit, bool is_wide, const F& f) {
  dispatch_index(is_64bit, [&](auto i) { is_wide ? f(i, Tag<uint64_t>{}) : f(i, Tag<uint32_t>{}); });
}

template <typename F>
inline void each_shard(const HopEdges& edges, int64_t begin, int64_t end, const F& f) {
  dispatch_index(edges.is_64bit, [&](auto i) {
    const Words<typename decltype(i)::type, uint64_t> words(edges);
    for (int64_t e = begin; e < end; ++e) f(shard_of(words[e]), e);
  });
}

template <typename I>
inline void add_node(const Found& found, int64_t at, I node, const uint32_t* batch, int64_t edge) {
  static_cast<I*>(found.node)[at] = node;
  if (batch) found.batch[at] = batch[edge];
}

}  // namespace

void clear_table(const Table& t) { std::memset(t.slots, 0xff, (t.mask + 1) * slot_bytes(t.is_wide)); }

void copy_table(const Table& from, const Table& to) {
  dispatch_words(true, from.is_wide, [&](auto, auto w) {
    using W = typename decltype(w)::type;
    const Slots<W> old(from), slots(to);
    for (int64_t at = 0; at <= old.mask; ++at) {
      if (at + 4 * kAhead <= old.mask) slots.prefetch(old.slots[at + 4 * kAhead].word);
      if (old.slots[at].word != Slots<W>::kEmpty) slots.slots[slots.find(old.slots[at].word)] = old.slots[at];
    }
  });
}

void put_nodes(const Table* tables, bool sharded, const HopEdges& nodes) {
  dispatch_words(nodes.is_64bit, tables[0].is_wide, [&](auto i, auto w) {
    using W = typename decltype(w)::type;
    const Words<typename decltype(i)::type, W> words(nodes);
    for (int64_t e = 0; e < nodes.count; ++e) {
      const Slots<W> slots(tables[sharded ? shard_of(words[e]) : 0]);
      if (!sharded && e + kAhead < nodes.count) slots.prefetch(words[e + kAhead]);
      Slot<W>& slot = slots.slots[slots.find(words[e])];
      if (slot.word == Slots<W>::kEmpty) slot = {words[e], uint32_t(e)};
    }
  });
}

int64_t renumber(const Table& table, const HopEdges& edges, const Found& found) {
  int64_t next = found.count;
  dispatch_words(edges.is_64bit, table.is_wide, [&](auto i, auto w) {
    using I = typename decltype(i)::type;
    using W = typename decltype(w)::type;
    const Slots<W> slots(table);
    const Words<I, W> words(edges);
    for (int64_t e = 0; e < edges.count; ++e) {
      if (e + kAhead < edges.count) slots.prefetch(words[e + kAhead]);
      const W word = words[e];
      Slot<W>& slot = slots.slots[slots.find(word)];
      // Without a branch: half the edges of a hop find a new node.
      const uint32_t is_new = slot.word == Slots<W>::kEmpty;
      const uint32_t position = slot.position ^ ((slot.position ^ uint32_t(next)) & (0 - is_new));
      slot = {word, position};
      add_node(found, next, words.column[e], edges.batch, e);
      next += is_new;
      words.column[e] = I(position);
    }
  });
  return next;
}

void count_shards(const HopEdges& edges, int64_t begin, int64_t end, int64_t* count) {
  each_shard(edges, begin, end, [&](int shard, int64_t) { ++count[shard]; });
}

void list_shards(const HopEdges& edges, int64_t begin, int64_t end, int64_t* place, uint32_t* order) {
  each_shard(edges, begin, end, [&](int shard, int64_t e) { order[place[shard]++] = uint32_t(e); });
}

int64_t find_slots(
    const Table& table, const HopEdges& edges, const uint32_t* order, int64_t count, uint32_t* slot, char* first) {
  int64_t marked = 0;
  dispatch_words(edges.is_64bit, table.is_wide, [&](auto i, auto w) {
    using W = typename decltype(w)::type;
    const Slots<W> slots(table);
    const Words<typename decltype(i)::type, W> words(edges);
    for (int64_t n = 0; n < count; ++n) {
      if (n + kAhead < count) slots.prefetch(words[order[n + kAhead]]);
      const W word = words[order[n]];
      const int64_t at = slots.find(word);
      const bool is_new = slots.slots[at].word == Slots<W>::kEmpty;
      first[order[n]] = is_new;
      marked += is_new;
      slots.slots[at].word = word;
      slot[n] = uint32_t(at);
    }
  });
  return marked;
}

int64_t rank_marks(const char* first, int64_t count, uint64_t* mask, uint32_t* before) {
  int64_t total = 0;
  for (int64_t begin = 0; begin < count; begin += 64) {
    uint64_t bits = 0;
    const int64_t size = count - begin < 64 ? count - begin : 64;
    for (int64_t i = 0; i < size; ++i) bits |= uint64_t(first[begin + i]) << i;
    mask[begin / 64] = bits;
    before[begin / 64] = uint32_t(total);
    total += __builtin_popcountll(bits);
  }
  return total;
}

void take_positions(
    const Table& table, const HopEdges& edges, const Found& found, const uint32_t* order, int64_t count,
    const uint32_t* slot, const uint64_t* mask, const uint32_t* before) {
  dispatch_words(edges.is_64bit, table.is_wide, [&](auto i, auto w) {
    using I = typename decltype(i)::type;
    const Slots<typename decltype(w)::type> slots(table);
    I* column = static_cast<I*>(edges.column);
    for (int64_t n = 0; n < count; ++n) {
      if (n + kAhead < count) __builtin_prefetch(slots.slots + slot[n + kAhead], 1);
      const int64_t e = order[n];
      const uint64_t bit = uint64_t(1) << (e % 64), marks = mask[e / 64];
      uint32_t& position = slots.slots[slot[n]].position;
      if (marks & bit) {
        position = uint32_t(found.count + before[e / 64] + __builtin_popcountll(marks & (bit - 1)));
        add_node(found, position, column[e], edges.batch, e);
      }
      column[e] = I(position);
    }
  });
}

}  // namespace graphkern::GK_ISA
