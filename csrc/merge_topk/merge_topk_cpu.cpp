#include "../common/topk_keys.h"

namespace graphkern {

// keys[i]: the key, as of float64 scores, of values[i] and indices[i]; 0 for NaN, -inf and negative indices
GK_DECLARE_KERNEL(void, make_keys, Value value, const void* values, const int64_t* indices, int64_t size, void* keys)

void GK_ISA::make_keys(Value value, const void* values, const int64_t* indices, int64_t size, void* keys) {
  dispatch_value(value, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Key<double>* to = static_cast<Key<double>*>(keys);
    for (int64_t i = 0; i < size; ++i) {
      const double score = to_accumulate(static_cast<const T*>(values)[i]);
      to[i] = indices[i] >= 0 && score > -INFINITY ? key_of(score, uint64_t(indices[i])) : 0;
    }
  });
}

}  // namespace graphkern

#ifdef GK_LAUNCHER
#include "../common/matmul.h"
#include "../common/parallel.h"

namespace graphkern {
namespace {

constexpr int64_t kRowBlock = 16;
constexpr int64_t kKeyBytes = 16;

// One list a row: values and indices, [B, size].
struct Lists {
  Tensor values, indices;
  int64_t size;
};

std::vector<Lists> checked(const std::vector<Tensor>& values, const std::vector<Tensor>& indices) {
  STD_TORCH_CHECK(!values.empty() && values.size() == indices.size(), "expected as many indices as values");
  std::vector<Lists> lists;
  for (size_t s = 0; s < values.size(); ++s) {
    const Tensor &value = values[s], &index = indices[s];
    STD_TORCH_CHECK(value.dim() == 2 && index.dim() == 2, "values and indices must be [B, k] each");
    STD_TORCH_CHECK(
        value.size(0) == values[0].size(0) && index.size(0) == value.size(0) && index.size(1) == value.size(1),
        "values and indices must be [B, k] each");
    STD_TORCH_CHECK(value.scalar_type() == values[0].scalar_type(), "values must have one dtype");
    STD_TORCH_CHECK(index.scalar_type() == ScalarType::Long, "indices must be int64");
    lists.push_back({as_contiguous(value), as_contiguous(index), value.size(1)});
  }
  return lists;
}

// values, indices: [B, k_s] each. Returns the k best of each row, [B, k] twice.
std::tuple<Tensor, Tensor> merge_topk(
    const std::vector<Tensor>& values, const std::vector<Tensor>& indices, int64_t k) {
  STD_TORCH_CHECK(k >= 1, "k must be at least 1 but is ", k);
  const std::vector<Lists> lists = checked(values, indices);
  const int64_t num_rows = values[0].size(0), bytes = values[0].element_size();
  const Value value = value_of(values[0]);
  Tensor best = allocate({num_rows, k}, values[0].scalar_type());
  Tensor columns = allocate({num_rows, k}, ScalarType::Long);
  char* to_best = static_cast<char*>(best.mutable_data_ptr());
  int64_t* to_columns = static_cast<int64_t*>(columns.mutable_data_ptr());
  int64_t num_keys = 0;
  for (const Lists& list : lists) num_keys += list.size;
  const int64_t num_blocks = (num_rows + kRowBlock - 1) / kRowBlock;
  parallel_tasks(num_blocks, useful_threads(num_rows * (num_keys + k) * 16), [&](int64_t block) {
    Buffer keys(num_keys * kKeyBytes), rest(num_keys * kKeyBytes);
    const int64_t end = std::min((block + 1) * kRowBlock, num_rows);
    for (int64_t row = block * kRowBlock; row < end; ++row) {
      int64_t at = 0;
      for (const Lists& list : lists) {
        const char* from = static_cast<const char*>(pointer(list.values)) + row * list.size * bytes;
        const int64_t* index = static_cast<const int64_t*>(pointer(list.indices)) + row * list.size;
        GK_KERNEL(make_keys)(value, from, index, list.size, keys.as<char>(at * kKeyBytes));
        at += list.size;
      }
      GK_KERNEL(list_keys)(
          true, keys.raw(), rest.raw(), 1, num_keys, k, value, to_best + row * k * bytes, to_columns + row * k);
    }
  });
  return {best, columns};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("merge_topk", TORCH_BOX(&graphkern::merge_topk)); }
#endif
