// What max, min and their gradients take.
#pragma once

#include "../common/rows.h"

namespace graphkern {

// Edges are numbered by position. weight: [E, heads] or null; arg: [N, features], the winning edge or -1.
struct ExtremumArgs {
  Value value;
  bool is_64bit, largest;
  const void *indptr, *indices;   // N rows
  const void *x, *weight, *grad;  // x: [M, features], grad: [N, features]
  void *out, *arg;                // going forward, arg null: only the values
  int64_t features, heads, num_rows;
};

}  // namespace graphkern
