#include "topk_keys.h"

namespace graphkern::GK_ISA {
namespace {

template <typename A>
void list(
    Key<A>* keys, Key<A>* rest, int64_t num_rows, int64_t num_keys, int64_t k, Value value, void* scores,
    int64_t* columns) {
  for (int64_t r = 0; r < num_rows; ++r, keys += num_keys, columns += k) {
    int64_t count = 0;
    for (int64_t i = 0; i < num_keys; ++i) {
      keys[count] = keys[i];
      count += keys[i] != 0;
    }
    const int64_t listed = count < k ? count : k;
    sort_largest(keys, count, listed, rest);
    dispatch_value(value, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (sizeof(T) <= sizeof(A)) {
        T* to = (T*)scores + r * k;
        for (int64_t i = 0; i < k; ++i) from_accumulate(i < listed ? score_of<A>(keys[i]) : -A(INFINITY), to + i);
      }
    });
    for (int64_t i = 0; i < k; ++i) columns[i] = i < listed ? int64_t(column_of<A>(keys[i])) : -1;
  }
}

}  // namespace

void list_keys(
    bool is_double, void* keys, void* rest, int64_t num_rows, int64_t num_keys, int64_t k, Value value, void* scores,
    int64_t* columns) {
  dispatch_accumulate(is_double, [&](auto tag) {
    using A = typename decltype(tag)::type;
    list<A>((Key<A>*)keys, (Key<A>*)rest, num_rows, num_keys, k, value, scores, columns);
  });
}

}  // namespace graphkern::GK_ISA
