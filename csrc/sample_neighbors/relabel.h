// Renumbering the nodes that a hop finds, in order of first sight.
#pragma once

#include "../common/dispatch.h"

namespace graphkern {

// A node under its subgraph is one word: kNodeBits for the node, the others for the subgraph.
constexpr int kNodeBits = 40;

// Global node -> local position. Open addressing, at most three quarters full; an empty slot has the word ~0. slots: of
// 32-bit words where every node fits and there are no subgraphs, else of 64-bit ones
struct Table {
  bool is_wide;
  int64_t mask;  // slots - 1
  void* slots;
};

// The edges of a hop. column: the nodes they lead to, then their local positions; batch: the subgraphs, or null
struct HopEdges {
  bool is_64bit;
  void* column;
  const uint32_t* batch;
  int64_t count;
};

// The nodes found so far, room for all. node: as the indices; batch: null without subgraphs
struct Found {
  void* node;
  uint32_t* batch;
  int64_t count;
};

// Nodes are spread over shards by their hash, each with a table of its own, so that threads need not meet.
constexpr int kShardBits = 4;
constexpr int kShards = 1 << kShardBits;

constexpr int64_t slot_bytes(bool is_wide) { return is_wide ? 16 : 8; }

GK_DECLARE_KERNEL(void, clear_table, const Table&)
// to: cleared, larger
GK_DECLARE_KERNEL(void, copy_table, const Table& from, const Table& to)
// Puts nodes (as edges that lead to them) under their positions; of repeated ones the first counts. tables: one, or
// one a shard
GK_DECLARE_KERNEL(void, put_nodes, const Table* tables, bool sharded, const HopEdges& nodes)
// Every edge in turn, with one table for all nodes. Returns how many nodes there are then.
GK_DECLARE_KERNEL(int64_t, renumber, const Table&, const HopEdges&, const Found&)
// Of the edges [begin, end): how many each shard has; then, from place[shard] on, which.
GK_DECLARE_KERNEL(void, count_shards, const HopEdges&, int64_t begin, int64_t end, int64_t* count)
GK_DECLARE_KERNEL(void, list_shards, const HopEdges&, int64_t begin, int64_t end, int64_t* place, uint32_t* order)
// The edges of one shard, order [count]: marks those that see a node first, and writes the slot of each. Returns how
// many it marked.
GK_DECLARE_KERNEL(
    int64_t, find_slots, const Table&, const HopEdges&, const uint32_t* order, int64_t count, uint32_t* slot,
    char* first)
// From the marks of 64 edges each a mask, and how many marks there are before them. Returns how many there are.
GK_DECLARE_KERNEL(int64_t, rank_marks, const char* first, int64_t count, uint64_t* mask, uint32_t* before)
// The edges of one shard: gives new nodes their positions by rank, and edges those of their nodes.
GK_DECLARE_KERNEL(
    void, take_positions, const Table&, const HopEdges&, const Found&, const uint32_t* order, int64_t count,
    const uint32_t* slot, const uint64_t* mask, const uint32_t* before)

}  // namespace graphkern
