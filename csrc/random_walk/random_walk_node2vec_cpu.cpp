#include "../common/bounded_lanes.h"
#include "walks.h"

namespace graphkern::GK_ISA {
namespace {

__extension__ typedef unsigned __int128 Wide;

template <typename I>
class Node2VecWalks {
 public:
  explicit Node2VecWalks(const Walks& walks)
      : walks_(walks),
        indptr_(static_cast<const I*>(walks.indptr)),
        indices_(static_cast<const I*>(walks.indices)),
        set_indptr_(static_cast<const I*>(walks.set_indptr)),
        set_indices_(static_cast<const I*>(walks.set_indices)),
        out_(static_cast<I*>(walks.out)) {}

  bool run(int64_t begin, int64_t end) {
    next_ = begin;
    end_ = end;
    while (count_ < kGroup && take_walk(count_)) ++count_;
    while (count_ > 0) {
      draw_blocks(block_, attempt_, number_, count_, walks_.seed, words_);
      propose();
      judge();
      search();
      advance();
    }
    return good_;
  }

 private:
  static constexpr int kGroup = 128;
  enum : char { kRefused, kAccepted, kSearching };

  // Place i goes on with the next walk of those that are left, if any.
  bool take_walk(int i) {
    for (; next_ < end_; ++next_) {
      const I node = static_cast<const I*>(walks_.start)[next_];
      out_[next_ * (walks_.length + 1)] = node;
      if (walks_.length == 0) continue;
      number_[i] = uint64_t(next_++);
      previous_[i] = -1;
      arrive(i, 0, node);
      return true;
    }
    return false;
  }

  __attribute__((always_inline)) void arrive(int i, uint64_t step, I node) {
    block_[i] = 2 * step;
    attempt_[i] = 0;
    node_[i] = node;
    __builtin_prefetch(indptr_ + node);
  }

  // An edge for each walk.
  void propose() {
    for (int i = 0; i < count_; ++i) {
      const int64_t begin = indptr_[node_[i]], degree = indptr_[node_[i] + 1] - begin;
      good_ &= degree <= UINT32_MAX;
      degree_[i] = uint32_t(degree);
      const uint64_t product = words_[0][i] * degree_[i];
      fair_[i] = !is_rejected(product, degree_[i]);
      edge_[i] = begin + (degree > 1 ? int64_t(product >> 32) : 0);
      __builtin_prefetch(indices_ + edge_[i]);
    }
  }

  // Reads where edges lead, and asks about the previous row only where the answer counts. Without branches, which
  // nobody could foresee.
  void judge() {
    const uint64_t near = walks_.weight[1], far = walks_.weight[2];
    const uint64_t least = near < far ? near : far, most = near < far ? far : near;
    for (int i = 0; i < count_; ++i) {
      const uint64_t share = words_[3][i] << 30 | words_[2][i] >> 2;
      column_[i] = degree_[i] > 0 ? indices_[edge_[i]] : node_[i];
      const uint64_t is_back = -uint64_t(column_[i] == previous_[i]), back = walks_.weight[0] & is_back;
      const bool is_certain = degree_[i] <= 1, is_first = previous_[i] < 0;
      const bool accepted = is_certain | (fair_[i] & (is_first | (share < (back | (least & ~is_back)))));
      const bool searching = !accepted & fair_[i] & (share < (back | (most & ~is_back)));
      state_[i] = char(kAccepted * accepted + kSearching * searching);
    }
  }

  // Whether the columns are in the rows of the previous nodes, all binary searches in step.
  void search() {
    int walk[kGroup], pending = 0;
    I column[kGroup];
    uint64_t at[kGroup], size[kGroup], longest = 0;
    for (int i = 0; i < count_; ++i) {
      if (state_[i] != kSearching) continue;
      if (!set_indptr_) {
        state_[i] = decide(is_in_row(column_[i], previous_[i]));
        continue;
      }
      walk[pending] = i;
      column[pending] = column_[i];
      at[pending] = uint64_t(set_indptr_[previous_[i]]);
      size[pending] = uint64_t(set_indptr_[previous_[i] + 1]) - at[pending];  // it has an edge: the walk came from it
      longest = size[pending] > longest ? size[pending] : longest;
      __builtin_prefetch(set_indices_ + at[pending] + size[pending] / 2);
      ++pending;
    }
    for (; longest > 1; longest -= longest / 2) {
      for (int n = 0; n < pending; ++n) {
        const uint64_t half = size[n] / 2;
        at[n] += half & -uint64_t(set_indices_[at[n] + half] <= column[n]);
        size[n] -= half;
        __builtin_prefetch(set_indices_ + at[n] + size[n] / 2);
      }
    }
    for (int n = 0; n < pending; ++n) state_[walk[n]] = decide(set_indices_[at[n]] == column[n]);
  }

  // A share between the weights of near and far nodes is good for one of them.
  char decide(bool is_near) const {
    const bool near_accepts = walks_.weight[1] > walks_.weight[2];
    return is_near == near_accepts ? kAccepted : kRefused;
  }

  bool is_in_row(I column, I row) const {
    if (set_indptr_) {
      int64_t at = set_indptr_[row], size = set_indptr_[row + 1] - at;
      for (; size > 1; size -= size / 2) at += set_indices_[at + size / 2] <= column ? size / 2 : 0;
      return size == 1 && set_indices_[at] == column;
    }
    bool found = false;
    for (int64_t e = indptr_[row]; e < indptr_[row + 1]; ++e) found |= indices_[e] == column;
    return found;
  }

  void advance() {
    for (int i = count_ - 1; i >= 0; --i) {
      if (state_[i] == kRefused) {
        if (++attempt_[i] < degree_[i]) continue;
        column_[i] = indices_[draw_from_all(i)];
      }
      const int64_t step = int64_t(block_[i] / 2) + 1;
      I* walk = out_ + int64_t(number_[i]) * (walks_.length + 1);
      walk[step] = column_[i];
      if (degree_[i] > 0 && step < walks_.length) {
        previous_[i] = node_[i];
        arrive(i, uint64_t(step), column_[i]);
        continue;
      }
      for (int64_t s = step + 1; s <= walks_.length; ++s) walk[s] = column_[i];
      if (!take_walk(i)) drop(i);
    }
  }

  // The last place, which has advanced already, moves to i.
  void drop(int i) {
    const int last = --count_;
    number_[i] = number_[last];
    block_[i] = block_[last];
    attempt_[i] = attempt_[last];
    node_[i] = node_[last];
    previous_[i] = previous_[last];
  }

  uint64_t weight_of(int i, I column) const {
    if (previous_[i] < 0) return walks_.weight[2];
    if (column == previous_[i]) return walks_.weight[0];
    if (walks_.weight[1] == walks_.weight[2]) return walks_.weight[1];
    return walks_.weight[is_in_row(column, previous_[i]) ? 1 : 2];
  }

  // An edge by the weights of all: the first whose running sum exceeds a uniform integer below their total.
  int64_t draw_from_all(int i) const {
    const int64_t begin = indptr_[node_[i]], end = begin + degree_[i];
    Wide total = 0, mask = 1;
    for (int64_t e = begin; e < end; ++e) total += weight_of(i, indices_[e]);
    while (mask < total) mask = mask << 1 | 1;
    Wide share = total;
    for (uint64_t attempt = 0; share >= total; ++attempt) {
      const OneDraw draw(block_[i] + 1, attempt, number_[i], walks_.seed);
      share = (Wide(draw.word[2]) << 64 | draw.word[1] << 32 | draw.word[0]) & mask;
    }
    for (int64_t e = begin;; ++e) {
      const uint64_t weight = weight_of(i, indices_[e]);
      if (share < weight) return e;
      share -= weight;
    }
  }

  const Walks& walks_;
  const I *indptr_, *indices_, *set_indptr_, *set_indices_;
  I* out_;
  bool good_ = true;
  int64_t next_ = 0, end_ = 0;
  int count_ = 0;
  uint64_t number_[kGroup] = {}, block_[kGroup] = {}, attempt_[kGroup] = {}, words_[4][kGroup];
  int64_t edge_[kGroup];
  uint32_t degree_[kGroup];
  I node_[kGroup], previous_[kGroup], column_[kGroup];
  bool fair_[kGroup];
  char state_[kGroup];
};

}  // namespace

bool walk_node2vec(const Walks& walks, int64_t begin, int64_t end) {
  bool good = true;
  dispatch_index(
      walks.is_64bit, [&](auto i) { good = Node2VecWalks<typename decltype(i)::type>(walks).run(begin, end); });
  return good;
}

}  // namespace graphkern::GK_ISA
