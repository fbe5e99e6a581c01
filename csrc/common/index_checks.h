// What launchers that are given rows or nodes do before they read by them.
#pragma once

#include "dispatch.h"

namespace graphkern {

// Of an index [size]: whether all of it is in [0, num_rows), and whether it ascends, no value twice.
struct IndexFacts {
  bool inside, ascends;
};
GK_DECLARE_KERNEL(IndexFacts, index_facts, const void* index, bool is_64bit, int64_t size, int64_t num_rows)

}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "checks.h"

namespace graphkern {

// Refuses values of index outside of [0, num_rows).
inline IndexFacts check_index(const Tensor& index, const char* name, int64_t num_rows) {
  const Tensor values = as_contiguous(index);
  const IndexFacts facts = GK_KERNEL(index_facts)(pointer(values), is_64bit(index), index.numel(), num_rows);
  if (facts.inside) return facts;
  baseline::dispatch_index(is_64bit(index), [&](auto i) {
    const auto* data = static_cast<const typename decltype(i)::type*>(pointer(values));
    const auto* wrong = std::find_if(data, data + index.numel(), [&](int64_t v) { return v < 0 || v >= num_rows; });
    STD_TORCH_CHECK(false, name, " must be in [0, ", num_rows, ") but has ", *wrong);
  });
  return facts;
}

}  // namespace graphkern
#endif
