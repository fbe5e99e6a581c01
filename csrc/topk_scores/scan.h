// What the kernels of topk_scores are given. Plain values.
#pragma once

#include "../common/column_set.h"
#include "../common/dispatch.h"

namespace graphkern {

// Rows of values of one type; bytes (int8) where it says so.
struct ItemRows {
  const void* data;
  Value value;
  bool is_int8;
};

// Some queries and some items. A is float, or double where is_double.
struct ScanBlock {
  bool is_double;
  Value query_value;
  const void* query;  // [num_rows, depth]
  int64_t num_rows, depth, k;
  ItemRows item;                 // [N, depth]
  const void* scale;             // [N] of A: scores are multiplied by it; or null
  const bool* mask;              // [N] items that may be returned; or null for all
  int64_t item_begin, item_end;  // the items looked at
  const ColumnSet* excluded;     // [num_rows] columns that a query leaves out, or null
  bool is_64bit;                 // of these columns
};

// Bytes of scratch memory, 64-byte aligned, that a scan of such a block needs; and of one key.
GK_DECLARE_KERNEL(int64_t, scan_scratch, bool is_double, int64_t num_rows, int64_t depth, int64_t k)
// The keys of the k best of each row, in any order; where there are fewer the rest is 0. Key r * stride on belongs to
// row r.
GK_DECLARE_KERNEL(void, scan_block, const ScanBlock& block, void* scratch, void* keys, int64_t stride)

}  // namespace graphkern
