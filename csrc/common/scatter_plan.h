// How a scatter is shared out among threads. What is added to a row, and in which order, never depends on how many
// there are.
#pragma once

#include "parallel.h"
#include "scatter.h"

namespace graphkern {

constexpr int64_t kSmallScatter = 32768;  // values below which it is done in one go
constexpr int64_t kManyBatches = 8;       // from here on each batch is a task
constexpr int64_t kSortedWidth = 16;      // from here on the index is sorted, and rows are gathered

// The entries are cut into `parts`, each with its own accumulators for all rows, that are added at the end. Or there
// is one part and the rows are cut into ranges; whoever owns a range looks at the index of every entry.
struct ScatterPlan {
  int64_t parts;
  std::vector<int64_t> row_bounds;
};

// The rows of evenly spaced entries, sorted.
inline std::vector<int64_t> sample_rows(const ScatterArgs& a) {
  constexpr int64_t kSample = 256;
  std::vector<int64_t> rows(kSample);
  const int64_t columns = a.elements ? a.features : 1;
  for (int64_t i = 0; i < kSample; ++i) {
    const int64_t entry = a.entries() / kSample * i;
    const int64_t value =
        a.is_64bit ? static_cast<const int64_t*>(a.index)[entry] : static_cast<const int32_t*>(a.index)[entry];
    rows[i] = std::clamp<int64_t>(value, 0, a.num_rows - 1) * columns + entry % columns;
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

inline ScatterPlan plan_scatter(const ScatterArgs& a) {
  const int64_t entries = a.entries(), rows = a.rows();
  if (entries * a.width() < kSmallScatter) return {1, {0, rows}};
  if (rows * 8 <= entries) {  // the parts have at most half as many accumulators as there are values
    int64_t parts = 4;
    while (parts < 64 && 4 * parts * rows <= entries && 8192 * parts <= entries) parts *= 2;
    return {parts, {0, rows}};
  }
  const std::vector<int64_t> sample = sample_rows(a);
  const int64_t size = sample.size();
  for (int64_t i = 0; i + size / 8 < size; ++i) {  // a row with an eighth of the entries: ranges would not be even
    if (sample[i] == sample[i + size / 8]) return {4, {0, rows}};
  }
  const int64_t ranges = std::min<int64_t>(useful_threads(entries * a.width()), size / 4);
  std::vector<int64_t> bounds{0};
  for (int64_t i = 1; i < ranges; ++i) bounds.push_back(std::max(bounds.back(), sample[size * i / ranges]));
  bounds.push_back(rows);
  return {1, bounds};
}

// One batch: add(part, entries, rows) accumulates entries in a range of rows, and returns whether their indices were
// in range; finish(rows) makes results of a range of rows once all parts are there.
template <typename A, typename F>
bool scatter_batch(const ScatterArgs& a, const ScatterPlan& plan, const A& add, const F& finish) {
  const int64_t entries = a.entries(), rows = a.rows(), ranges = plan.row_bounds.size() - 1;
  std::atomic<bool> good{true};
  if (plan.parts == 1) {
    parallel_tasks(ranges, ranges, [&](int64_t i) {
      const Range range{plan.row_bounds[i], plan.row_bounds[i + 1]};
      if (!add(0, Range{0, entries}, range)) good = false;
      finish(range);
    });
    return good;
  }
  const int64_t threads = useful_threads(entries * a.width());
  parallel_tasks(plan.parts, threads, [&](int64_t part) {
    const auto bound = [&](int64_t i) { return entries / plan.parts * i + std::min(i, entries % plan.parts); };
    if (!add(part, Range{bound(part), bound(part + 1)}, Range{0, rows})) good = false;
  });
  const int64_t block = std::max<int64_t>(1, 16384 / a.width());
  parallel_tasks((rows + block - 1) / block, threads, [&](int64_t i) {
    finish(Range{i * block, std::min(rows, (i + 1) * block)});
  });
  return good;
}

// The arguments of batch b; index: [B or 1, L, K or 1], src: [B, L, K], both contiguous. A gather has no src of that
// shape, and takes no notice of it.
inline ScatterArgs batch_args(const Tensor& src, const Tensor& index, int64_t num_rows, int64_t b) {
  const int64_t index_batch = index.size(0) > 1 ? b * index.size(1) * index.size(2) : 0;
  return {
      .value = value_of(src),
      .is_64bit = is_64bit(index),
      .elements = index.size(2) > 1,
      .index = static_cast<const char*>(pointer(index)) + index_batch * int64_t(index.element_size()),
      .src = static_cast<const char*>(pointer(src)) + b * index.size(1) * src.size(2) * int64_t(src.element_size()),
      .num_rows = num_rows,
      .length = index.size(1),
      .features = src.size(2)};
}

// Whether the index is sorted and rows are gathered.
inline bool sorts(const ScatterArgs& a) {
  return a.width() >= kSortedWidth && a.entries() * a.width() >= kSmallScatter;
}

// Calls an operator that returns as many values as it takes, or fewer.
template <typename... T>
std::array<StableIValue, sizeof...(T)> call_op(const char* name, const T&... args) {
  std::array<StableIValue, sizeof...(T)> stack{torch::stable::detail::from(args)...};
  STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher(name, "", stack.data(), TORCH_ABI_VERSION));
  return stack;
}

// index: [L]. Returns indptr [num_rows + 1] and permutation [L]
inline std::tuple<Tensor, Tensor> counting_sort(const Tensor& index, int64_t num_rows) {
  const auto stack = call_op("graphkern::counting_sort", index, num_rows);
  return {torch::stable::detail::to<Tensor>(stack[0]), torch::stable::detail::to<Tensor>(stack[1])};
}

// All batches, into out and arg [B, num_rows, K]; src: [B, L, K], index: [B or 1, L, K or 1], contiguous. sorted(src
// [L, K], index [L]) returns the results of one batch; direct(args, whether no other batch is worked on meanwhile, out,
// arg) writes them, and returns whether all indices were in range.
template <typename S, typename D>
std::tuple<Tensor, Tensor> scatter_batches(
    const Tensor& src, const Tensor& index, int64_t num_rows, Tensor out, Tensor* arg, const S& sorted,
    const D& direct) {
  const int64_t batches = src.size(0), bytes = num_rows * src.size(2) * int64_t(src.element_size());
  const int64_t arg_bytes = num_rows * src.size(2) * int64_t(index.element_size());
  char* data = static_cast<char*>(out.mutable_data_ptr());
  char* arg_data = arg ? static_cast<char*>(arg->mutable_data_ptr()) : nullptr;
  STD_TORCH_CHECK(num_rows > 0 || src.numel() == 0, "index out of range: there are no rows");
  if (src.numel() == 0) {
    std::fill_n(data, batches * bytes, 0);
    if (arg) std::fill_n(arg_data, batches * arg_bytes, char(-1));
    return {out, arg ? *arg : out};
  }
  std::atomic<bool> good{true};
  const auto run = [&](int64_t b, bool alone) {
    const ScatterArgs a = batch_args(src, index, num_rows, b);
    if (!direct(a, alone, data + b * bytes, arg ? arg_data + b * arg_bytes : nullptr)) good = false;
  };
  if (batches >= kManyBatches) {
    parallel_tasks(batches, useful_threads(src.numel()), [&](int64_t b) { run(b, false); });
  } else if (sorts(batch_args(src, index, num_rows, 0))) {
    for (int64_t b = 0; b < batches; ++b) {
      const Tensor places = torch::stable::flatten(torch::stable::select(index, 0, index.size(0) > 1 ? b : 0));
      const auto [one, one_arg] = sorted(torch::stable::select(src, 0, b), places);
      if (batches == 1) return {torch::stable::unsqueeze(one, 0), torch::stable::unsqueeze(one_arg, 0)};
      std::copy_n(static_cast<const char*>(pointer(one)), bytes, data + b * bytes);
      if (arg) std::copy_n(static_cast<const char*>(pointer(one_arg)), arg_bytes, arg_data + b * arg_bytes);
    }
  } else {
    for (int64_t b = 0; b < batches; ++b) run(b, true);
  }
  STD_TORCH_CHECK(good, "index out of range: not in [0, ", num_rows, ")");
  return {out, arg ? *arg : out};
}

}  // namespace graphkern
