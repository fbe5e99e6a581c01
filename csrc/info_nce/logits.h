// What forward and backward share: kernels over one block of logits, and which keys a query has as positives.
#pragma once

#include "../common/dispatch.h"

namespace graphkern {

// Kernels over a block of logits, s: [rows, columns] of the accumulation type (is_double or float), before the bias.
// A running log-sum-exp is a pair: the maximum, and the sum of exp(s - maximum).

// Adds the bias to s; takes its rows into `maximum` and `sum`.
GK_DECLARE_KERNEL(
    void, logits_rows, bool is_double, void* s, const void* bias, int64_t rows, int64_t columns, void* maximum,
    void* sum)
// Takes the columns of s into `maximum` and `sum`.
GK_DECLARE_KERNEL(
    void, logits_columns, bool is_double, const void* s, int64_t rows, int64_t columns, void* maximum, void* sum)
// s = grad[r] * exp(s + bias - lse[r]) + grad_column[c] * exp(s + bias - lse_column[c]), the second only if there is
// one
GK_DECLARE_KERNEL(
    void, logits_gradient, bool is_double, void* s, const void* bias, int64_t rows, int64_t columns, const void* lse,
    const void* grad, const void* lse_column, const void* grad_column)

}  // namespace graphkern

#ifdef GK_LAUNCHER
#include <cmath>

#include "../common/index_checks.h"
#include "../common/matmul.h"
#include "../common/parallel.h"

namespace graphkern::info_nce {

constexpr int64_t kRowBlock = 64;       // queries a product
constexpr int64_t kColumnBlock = 1024;  // keys a product: 64 x 1024 floats stay in the second-level cache

inline int64_t num_blocks(int64_t size, int64_t block) { return (size + block - 1) / block; }

// How keys are shared out where each of them needs a sum over all queries: each group is one task's, which goes through
// its tiles of keys one by one. What a task sums over keys is kept once a group and added up in the order of groups.
struct KeyGroups {
  static constexpr int64_t kMost = 16, kRows = 128, kWidest = 512;  // 128 x 512 floats stay in the second-level cache
  int64_t num_keys, width, tiles, count;

  explicit KeyGroups(int64_t num_keys)
      : num_keys(num_keys),
        width(std::clamp<int64_t>(num_blocks(num_keys, kMost * 64) * 64, 64, kWidest)),
        tiles(num_blocks(num_keys, width)),
        count(std::min(tiles, kMost)) {}

  // f(first key, number of keys) for each tile of a group
  template <typename F>
  void each_tile(int64_t group, const F& f) const {
    for (int64_t tile = tiles * group / count; tile < tiles * (group + 1) / count; ++tile) {
      f(tile * width, std::min(width, num_keys - tile * width));
    }
  }
};

// Refuses what would lead the kernels out of bounds.
inline void check_shapes(
    const Tensor& query, const Tensor& key, const std::optional<Tensor>& bias, const std::optional<Tensor>& indptr,
    bool symmetric) {
  STD_TORCH_CHECK(query.dim() == 2 && key.dim() == 2 && query.size(1) == key.size(1), "query and key must be [., D]");
  STD_TORCH_CHECK(!bias || bias->numel() == key.size(0), "bias must be [", key.size(0), "]");
  STD_TORCH_CHECK(
      key.scalar_type() == query.scalar_type() && (!bias || bias->scalar_type() == query.scalar_type()),
      "query, key and bias must have one dtype");
  STD_TORCH_CHECK(!symmetric || (!indptr && query.size(0) == key.size(0)), "symmetric takes the diagonal of B x B");
}

// scale: [], of the accumulation type.
inline double scale_of(const Tensor& scale, ScalarType type) {
  STD_TORCH_CHECK(scale.numel() == 1 && scale.scalar_type() == type, "scale must be one number");
  const double value = type == ScalarType::Double ? *static_cast<const double*>(scale.const_data_ptr())
                                                  : *static_cast<const float*>(scale.const_data_ptr());
  STD_TORCH_CHECK(value > 0 && std::isfinite(value), "temperature must be positive but is ", 1 / value);
  return value;
}

// The values of a tensor in the accumulation type, where they are if they have it already.
class Wide {
 public:
  explicit Wide(const std::optional<Tensor>& t)
      : present_(t.has_value()),
        copied_(t && t->scalar_type() != accumulate_type(*t)),
        data_(pointer(t)),
        buffer_(copied_ ? t->numel() * sizeof(float) : 0) {
    if (copied_) GK_KERNEL(widen)(value_of(*t), data_, buffer_.raw(), t->numel(), 1);
  }

  template <typename A>
  const A* as(int64_t offset = 0) {
    if (!present_) return nullptr;
    return (copied_ ? buffer_.as<A>() : static_cast<const A*>(data_)) + offset;
  }

 private:
  bool present_, copied_;
  const void* data_;
  Buffer buffer_;
};

// Which keys are positives of a query, and which others share their id.
class Targets {
 public:
  // indptr: [B + 1], target: its entries; without indptr target: [B], one a query. key_id: [K]. All int64.
  Targets(
      const std::optional<Tensor>& indptr, const Tensor& target, const std::optional<Tensor>& key_id,
      int64_t num_queries, int64_t num_keys);

  int64_t count(int64_t row) const { return end(row) - begin(row); }

  // f(key) for each positive of a row in keys [first, last), as often as it is stored.
  template <typename F>
  void positives(int64_t row, int64_t first, int64_t last, const F& f) const {
    const int64_t *stop = target_ + end(row), *at = std::lower_bound(target_ + begin(row), stop, first);
    for (; at != stop && *at < last; ++at) f(*at);
  }

  // s[key - first] = -inf for the keys of [first, last) with the id of a positive that are none themselves.
  template <typename A>
  void mask(int64_t row, int64_t first, int64_t last, A* s) const {
    if (members_.empty()) return;
    for (int64_t i = row_begin_[row]; i < row_begin_[row + 1]; ++i) {
      const int64_t* at = members_.data() + group_begin_[row_groups_[i]];
      const int64_t* stop = members_.data() + group_begin_[row_groups_[i] + 1];
      for (at = std::lower_bound(at, stop, first); at != stop && *at < last; ++at) {
        if (!std::binary_search(target_ + begin(row), target_ + end(row), *at)) s[*at - first] = -A(INFINITY);
      }
    }
  }

 private:
  int64_t begin(int64_t row) const { return indptr_ ? indptr_[row] : row; }
  int64_t end(int64_t row) const { return indptr_ ? indptr_[row + 1] : row + 1; }
  void sort_rows(int64_t num_queries);
  void group_keys(const int64_t* key_id, int64_t num_queries, int64_t num_keys);

  Tensor held_indptr_, held_target_;             // contiguous
  const int64_t *indptr_, *target_;              // indptr null: one a query
  std::vector<int64_t> sorted_;                  // the targets, where rows were not in rising order
  std::vector<int64_t> members_, group_begin_;   // keys by id; where each group of one id begins among them
  std::vector<int64_t> row_groups_, row_begin_;  // the groups of each row's positives that have other keys
};

}  // namespace graphkern::info_nce
#endif
