// How a frontier is expanded by one relation.
#pragma once

#include <limits>

#include "../common/dispatch.h"

namespace graphkern {

enum class Mode : int { uniform, last, labor };

// One relation of a graph: its rows are expanded into the columns of their edges.
// edge_id: [E] what stands for each edge in the results, or null: its position; weight: [E] float32 or float64, or
// null; time: int64, [E] or (node_time) that of the columns, or null
struct Relation {
  bool is_64bit, is_double, node_time;
  const void *indptr, *indices, *edge_id, *weight;
  const int64_t* time;
};

// Rows of the frontier: [R] each. node: as the indices of the relation; batch: the subgraph of each, or null; start,
// degree: their edges; offset: [R + 1] where the edges drawn go. limit: [subgraphs] latest time allowed, or null.
// Draw j of a row is the word of lane j % 4 at counter (j / 4, stream + 2^16 * attempt, node low, node high), key seed,
// or in subgraph b seed + (b + 1) * kGolden; attempt counts rejections.
struct Frontier {
  Relation relation;
  const void* node;
  const uint32_t* batch;
  int64_t *start, *offset;
  uint32_t* degree;
  const int64_t* limit;
  int64_t fanout;
  uint64_t seed;
  uint32_t stream;
  Mode mode;
  bool replace;
};

constexpr int64_t kBlockFanout = 64;  // up to here rows are drawn block by block
constexpr int64_t kWordPadding = 64;  // words are drawn by whole registers

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15ull;

inline uint64_t key_of(const Frontier& f, int64_t row) {
  return f.batch ? f.seed + (uint64_t(f.batch[row]) + 1) * kGolden : f.seed;
}

// What a thread needs to draw a row, by the largest degree D and the fanout k. eligible: [D]; sums: [D]; words,
// positions: [k + kWordPadding]; taken: [taken_mask + 1], a power of two above 2 k, all 0; heap: [2 * k] words
struct Scratch {
  int64_t* eligible;
  double* sums;
  uint32_t *words, *positions;
  uint64_t *taken, *heap;
  int64_t taken_mask;
};

// Fills start, degree and offset[row + 1], the most edges that each row may draw, for rows in [begin, end). Returns
// whether all have fewer than 2^32 edges.
GK_DECLARE_KERNEL(bool, read_degrees, const Frontier&, int64_t begin, int64_t end)
// Draws rows [begin, end) in mode uniform, with no weights, no times and a fanout up to kBlockFanout, which take just
// what offset says; edge, column: from their first one on.
GK_DECLARE_KERNEL(void, draw_uniform, const Frontier&, int64_t begin, int64_t end, void* edge, void* column)
// Draws rows [begin, end) in any mode; out: room for the most that they may draw; count: [rows] edges drawn.
GK_DECLARE_KERNEL(
    void, draw_any, const Frontier&, int64_t begin, int64_t end, const Scratch&, void* out, int64_t* count)
// column[e] = indices[edge[e]]; then edge[e] = edge_id[edge[e]]
GK_DECLARE_KERNEL(void, read_columns, const Relation&, void* edge, int64_t count, void* column)

}  // namespace graphkern
