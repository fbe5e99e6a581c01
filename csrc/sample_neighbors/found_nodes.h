// The nodes of one type that the sampler found, in order of first sight. Compiled once.
#pragma once

#include <limits>

#include "../common/parallel.h"
#include "memory.h"
#include "relabel.h"

namespace graphkern {

class FoundNodes {
 public:
  // seeds: [S], each in [0, num_nodes). With subgraphs seed i starts number first_batch + i; a repeated seed keeps a
  // place of its own, without them its neighbors lead to the first.
  FoundNodes(const Tensor& seeds, bool disjoint, int64_t first_batch, int64_t num_nodes, bool sharded)
      : is_64bit_(is_64bit(seeds)),
        is_wide_(disjoint || num_nodes >= std::numeric_limits<uint32_t>::max()),
        disjoint_(disjoint),
        shards_(sharded ? kShards : 1),
        count_(seeds.size(0)),
        tables_(shards_),
        used_(shards_) {
    node_.reserve(count_ * bytes());
    std::memcpy(node_.data(), pointer(seeds), count_ * bytes());
    if (disjoint_) {
      batch_.reserve(count_ * 4);
      for (int64_t i = 0; i < count_; ++i) batch()[i] = uint32_t(first_batch + i);
    }
    per_hop.push_back(count_);
    for (int64_t s = 0; s < shards_; ++s) make_room(s, count_);
    std::vector<Table> tables;
    for (const Slots& slots : tables_) tables.push_back(slots.view(is_wide_));
    GK_KERNEL(put_nodes)(tables.data(), shards_ > 1, all_nodes());
    std::fill(used_.begin(), used_.end(), count_);
  }

  std::vector<int64_t> per_hop;  // nodes first seen at each hop, the seeds before the first

  int64_t count() const { return count_; }
  const void* nodes() const { return node_.data(); }
  const uint32_t* batches() const { return disjoint_ ? batch() : nullptr; }

  // The frontier: what the hop before found.
  int64_t frontier_size() const { return frontier_end_ - frontier_begin_; }
  const void* frontier_nodes() const { return node_.data() + frontier_begin_ * bytes(); }
  const uint32_t* frontier_batches() const { return disjoint_ ? batch() + frontier_begin_ : nullptr; }
  void start_hop() {
    frontier_begin_ = frontier_end_;
    frontier_end_ = count_;
  }
  void finish_hop() { per_hop.push_back(count_ - frontier_end_); }

  bool is_sharded() const { return shards_ > 1; }

  // Before so many edges are renumbered, in one part or several.
  void make_room(int64_t count) {
    STD_TORCH_CHECK(count_ + count < std::numeric_limits<uint32_t>::max(), "a sample of 2^32 nodes and edges or more");
    node_.reserve((count_ + count) * bytes());
    if (disjoint_) batch_.reserve((count_ + count) * 4);
    if (!is_sharded()) make_room(0, count_ + count);
  }

  // The nodes that edges lead to become local positions.
  void renumber(const HopEdges& edges) {
    const Found found{node_.data(), disjoint_ ? batch() : nullptr, count_};
    if (is_sharded()) return renumber_shards(edges, found);
    count_ = GK_KERNEL(renumber)(tables_[0].view(is_wide_), edges, found);
  }

 private:
  struct Slots {
    Memory memory;
    int64_t mask = -1;
    Table view(bool is_wide) const { return {is_wide, mask, memory.data()}; }
  };

  int64_t bytes() const { return is_64bit_ ? 8 : 4; }
  uint32_t* batch() const { return reinterpret_cast<uint32_t*>(batch_.data()); }

  HopEdges all_nodes() const { return {is_64bit_, node_.data(), disjoint_ ? batch() : nullptr, count_}; }

  // Room for so many nodes in a shard, three quarters full at most.
  void make_room(int64_t shard, int64_t count) {
    int64_t capacity = 64;
    while (capacity * 3 < count * 4) capacity *= 2;
    if (capacity <= tables_[shard].mask + 1) return;
    Slots larger;
    larger.mask = capacity - 1;
    larger.memory.reserve(capacity * slot_bytes(is_wide_));
    const Table table = larger.view(is_wide_);
    GK_KERNEL(clear_table)(table);
    if (tables_[shard].mask >= 0) {
      shards_ > 1 ? GK_KERNEL(copy_table)(tables_[shard].view(is_wide_), table)
                  : GK_KERNEL(put_nodes)(&table, false, all_nodes());
    }
    tables_[shard] = std::move(larger);
  }

  // As `renumber`, by all threads: edges are listed by shard; each shard finds which of its edges see a node first;
  // those in order of edges number the nodes.
  void renumber_shards(const HopEdges& edges, const Found& found) {
    constexpr int64_t kBlock = 16384, kOperations = 32;
    const int64_t threads = useful_threads(edges.count * kOperations), blocks = (edges.count + kBlock - 1) / kBlock;
    std::vector<int64_t> place(blocks * kShards), begin(kShards + 1);
    const auto each_block = [&](const auto& f) {
      parallel_tasks(blocks, threads, [&](int64_t b) {
        f(b * kBlock, std::min(edges.count, (b + 1) * kBlock), place.data() + b * kShards);
      });
    };
    const auto count = GK_KERNEL(count_shards);
    each_block([&](int64_t first, int64_t last, int64_t* counts) { count(edges, first, last, counts); });
    int64_t total = 0;
    for (int64_t shard = 0; shard < kShards; ++shard) {
      begin[shard] = total;
      for (int64_t b = 0; b < blocks; ++b) total += std::exchange(place[b * kShards + shard], total);
    }
    begin[kShards] = total;
    const Memory order(edges.count * 4), slot(edges.count * 4), first(edges.count);
    const Memory mask((edges.count + 63) / 64 * 8), before((edges.count + 63) / 64 * 4);
    const auto list = GK_KERNEL(list_shards);
    each_block([&](int64_t from, int64_t to, int64_t* places) { list(edges, from, to, places, order.as<uint32_t>()); });
    const auto find = GK_KERNEL(find_slots);
    parallel_tasks(kShards, threads, [&](int64_t shard) {
      const int64_t at = begin[shard], size = begin[shard + 1] - at;
      make_room(shard, used_[shard] + size);
      used_[shard] += find(
          tables_[shard].view(is_wide_), edges, order.as<uint32_t>(at), size, slot.as<uint32_t>(at), first.as<char>());
    });
    count_ += GK_KERNEL(rank_marks)(first.as<char>(), edges.count, mask.as<uint64_t>(), before.as<uint32_t>());
    const auto take = GK_KERNEL(take_positions);
    parallel_tasks(kShards, threads, [&](int64_t shard) {
      const int64_t at = begin[shard];
      take(
          tables_[shard].view(is_wide_), edges, found, order.as<uint32_t>(at), begin[shard + 1] - at,
          slot.as<uint32_t>(at), mask.as<uint64_t>(), before.as<uint32_t>());
    });
  }

  bool is_64bit_, is_wide_, disjoint_;
  int64_t shards_, count_, frontier_begin_ = 0, frontier_end_ = 0;
  Memory node_, batch_;
  std::vector<Slots> tables_;
  std::vector<int64_t> used_;  // nodes in each shard, or more
};

}  // namespace graphkern
