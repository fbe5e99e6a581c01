// Random walks, many at a time: while one waits for memory the others go on.
#pragma once

#include "../common/dispatch.h"

namespace graphkern {

// indptr, indices: the graph; set_indptr, set_indices: its rows in ascending order, each column once, or null
// start: [B]; out: [B, length + 1]. weight: of an edge back, to a neighbor of the previous node, elsewhere; the largest
// is 2^62
struct Walks {
  bool is_64bit;
  const void *indptr, *indices, *set_indptr, *set_indices, *start;
  void* out;
  int64_t length;
  uint64_t weight[3];
  uint64_t seed;
};

// Walks [begin, end). Returns whether all rows that they came to have fewer than 2^32 edges.
GK_DECLARE_KERNEL(bool, walk_uniform, const Walks&, int64_t begin, int64_t end)
GK_DECLARE_KERNEL(bool, walk_node2vec, const Walks&, int64_t begin, int64_t end)

}  // namespace graphkern
