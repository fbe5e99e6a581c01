#include "scan.h"

#ifdef GK_LAUNCHER
#include <deque>

#include "../common/matmul.h"
#include "../common/parallel.h"
#include "../common/topk_keys.h"

namespace graphkern {
namespace {

constexpr int64_t kMinRows = 64, kMaxRows = 1024;  // queries a block: each shares the work of packing the items
constexpr int64_t kQueryBytes = 256 << 10;         // of a block, beside a panel of items in the second-level cache
constexpr int64_t kScratchBytes = 4 << 20;         // of a block, unless k is larger than kMinRows rows have room for
constexpr int64_t kMinItems = 2048;                // a part of the items that is worth a selection of its own
constexpr int64_t kCopiedColumns = 1 << 20;        // excluded columns of a block that may be sorted copies
constexpr int64_t kTasksPerThread = 4;

// The excluded columns of consecutive queries.
class Excluded {
 public:
  Excluded(const Tensor& indptr, const Tensor& indices)
      : indptr_(indptr), indices_(pointer(indices)), is_64bit_(graphkern::is_64bit(indices)) {}

  // Takes rows from `first` on, as many as there are before `last` or sorted copies have room for, but at least one.
  int64_t take(int64_t first, int64_t last) {
    baseline::dispatch_index(is_64bit_, [&](auto i) {
      using I = typename decltype(i)::type;
      auto& copies = std::get<std::deque<std::vector<I>>>(copies_);
      rows_.clear();
      copies.clear();
      int64_t copied = 0;
      for (int64_t row = first; row < last && (copied < kCopiedColumns || row == first); ++row) {
        const I* begin = static_cast<const I*>(indices_) + indptr_[row];
        rows_.push_back(column_set(begin, indptr_[row + 1] - indptr_[row], copies.emplace_back()));
        copied += copies.back().size();
      }
    });
    return rows_.size();
  }

  const ColumnSet* rows() const { return rows_.data(); }
  bool is_64bit() const { return is_64bit_; }

 private:
  Segments indptr_;
  const void* indices_;
  bool is_64bit_;
  std::vector<ColumnSet> rows_;
  std::tuple<std::deque<std::vector<int32_t>>, std::deque<std::vector<int64_t>>> copies_;  // one of them is used
};

// Arguments of the operator, contiguous and checked.
struct Arguments {
  Tensor query, item;
  int64_t k;
  std::optional<Tensor> indptr, indices, mask, scale;

  bool is_double() const { return query.scalar_type() == ScalarType::Double; }
  int64_t key_bytes() const { return is_double() ? 16 : 8; }

  void check() const;
};

void Arguments::check() const {
  const int64_t num_items = item.size(0);
  STD_TORCH_CHECK(query.dim() == 2 && item.dim() == 2 && query.size(1) == item.size(1), "expected [B, D] and [N, D]");
  STD_TORCH_CHECK(1 <= k && k <= num_items, "k must be in [1, ", num_items, "] but is ", k);
  STD_TORCH_CHECK(is_double() || num_items <= UINT32_MAX, "at most 2^32 - 1 items unless query is float64");
  STD_TORCH_CHECK(is_double() || item.scalar_type() != ScalarType::Double, "item is float64 but query is not");
  STD_TORCH_CHECK(indptr.has_value() == indices.has_value(), "indptr and indices go together");
  if (indptr) {
    STD_TORCH_CHECK(indptr->dim() == 1 && indptr->size(0) == query.size(0) + 1, "indptr must be [B + 1]");
    STD_TORCH_CHECK(indices->scalar_type() == indptr->scalar_type(), "indptr and indices must have one dtype");
    Segments(*indptr).check(indices->numel());
  }
  STD_TORCH_CHECK(
      !mask || (mask->scalar_type() == ScalarType::Bool && mask->numel() == num_items), "item_mask must be bool [N]");
  STD_TORCH_CHECK(
      !scale || (scale->scalar_type() == accumulate_type(query) && scale->numel() == num_items),
      "item_scale must be [N] of the type that sums are kept in");
}

class TopK {
 public:
  TopK(const Arguments& arguments, Tensor& values, Tensor& columns)
      : a_(arguments),
        num_queries_(a_.query.size(0)),
        num_items_(a_.item.size(0)),
        depth_(a_.query.size(1)),
        values_(static_cast<char*>(values.mutable_data_ptr())),
        columns_(static_cast<int64_t*>(columns.mutable_data_ptr())) {
    share_out();
  }

  // One task a block of queries and part of the items; what is kept of the parts is listed together.
  void run() const {
    Buffer kept(parts_ > 1 ? num_queries_ * parts_ * a_.k * a_.key_bytes() : 0);
    const int64_t blocks = (num_queries_ + rows_ - 1) / rows_;
    parallel_tasks(blocks * parts_, threads_, [&](int64_t task) {
      const int64_t first = task / parts_ * rows_, last = std::min(first + rows_, num_queries_);
      scan(first, last, task % parts_, kept);
    });
    if (parts_ == 1) return;
    parallel_tasks(num_queries_, threads_, [&](int64_t row) {
      list(kept.as<char>(row * parts_ * a_.k * a_.key_bytes()), row, 1, parts_ * a_.k);
    });
  }

 private:
  // Blocks of as many queries as the caches hold, fewer where threads would have nothing to do; where that is not
  // enough, the items are parted too.
  void share_out() {
    const int64_t bytes = a_.is_double() ? 8 : 4;
    threads_ = useful_threads(num_queries_ * num_items_ * std::max<int64_t>(depth_, 1));
    const int64_t tasks = threads_ == 1 ? 1 : threads_ * kTasksPerThread;
    const int64_t scratch = GK_KERNEL(scan_scratch)(a_.is_double(), kMinRows, depth_, a_.k) / kMinRows;
    const int64_t cached = std::clamp(kQueryBytes / (std::max<int64_t>(depth_, 1) * bytes), kMinRows, kMaxRows);
    const int64_t shared = std::max((num_queries_ + tasks - 1) / tasks, kMinRows);
    rows_ = std::min({cached, shared, std::max<int64_t>(kScratchBytes / scratch, 1)});
    rows_ = (rows_ + 7) / 8 * 8;  // whole tiles
    const int64_t blocks = std::max<int64_t>((num_queries_ + rows_ - 1) / rows_, 1);
    parts_ = std::clamp<int64_t>(num_items_ / std::max(kMinItems, 4 * a_.k), 1, (tasks + blocks - 1) / blocks);
  }

  void scan(int64_t first, int64_t last, int64_t part, Buffer& kept) const {
    std::optional<Excluded> excluded;
    if (a_.indptr) excluded.emplace(*a_.indptr, *a_.indices);
    Buffer scratch(GK_KERNEL(scan_scratch)(a_.is_double(), last - first, depth_, a_.k));
    Buffer own(parts_ > 1 ? 0 : (last - first) * a_.k * a_.key_bytes());
    for (int64_t row = first, count; row < last; row += count) {
      count = excluded ? excluded->take(row, last) : last - row;
      ScanBlock block = items(part);
      block.query = static_cast<const char*>(pointer(a_.query)) + row * depth_ * a_.query.element_size();
      block.num_rows = count;
      block.excluded = excluded ? excluded->rows() : nullptr;
      block.is_64bit = excluded && excluded->is_64bit();
      if (parts_ > 1) {
        void* keys = kept.as<char>((row * parts_ + part) * a_.k * a_.key_bytes());
        GK_KERNEL(scan_block)(block, scratch.raw(), keys, parts_ * a_.k);
      } else {
        GK_KERNEL(scan_block)(block, scratch.raw(), own.raw(), a_.k);
        list(own.raw(), row, count, a_.k);
      }
    }
  }

  ScanBlock items(int64_t part) const {
    ScanBlock block{};
    block.is_double = a_.is_double();
    block.query_value = value_of(a_.query);
    block.depth = depth_;
    block.k = a_.k;
    const bool is_int8 = a_.item.scalar_type() == ScalarType::Char;
    block.item = {pointer(a_.item), is_int8 ? Value::f32 : value_of(a_.item), is_int8};
    block.scale = pointer(a_.scale);
    block.mask = static_cast<const bool*>(pointer(a_.mask));
    block.item_begin = num_items_ * part / parts_;
    block.item_end = num_items_ * (part + 1) / parts_;
    return block;
  }

  void list(void* keys, int64_t row, int64_t num_rows, int64_t num_keys) const {
    Buffer rest(num_keys * a_.key_bytes());
    GK_KERNEL(list_keys)(
        a_.is_double(), keys, rest.raw(), num_rows, num_keys, a_.k, value_of(a_.query),
        values_ + row * a_.k * a_.query.element_size(), columns_ + row * a_.k);
  }

  const Arguments& a_;
  int64_t num_queries_, num_items_, depth_;
  int64_t threads_, rows_, parts_;
  char* values_;
  int64_t* columns_;
};

// query: [B, D], item: [N, D], indptr: [B + 1], indices: excluded columns, mask, scale: [N]. Returns [B, k] twice.
std::tuple<Tensor, Tensor> topk_scores(
    const Tensor& query, const Tensor& item, int64_t k, const std::optional<Tensor>& indptr,
    const std::optional<Tensor>& indices, const std::optional<Tensor>& mask, const std::optional<Tensor>& scale) {
  const Arguments arguments{as_contiguous(query), as_contiguous(item), k, as_contiguous(indptr), as_contiguous(indices),
                            as_contiguous(mask),  as_contiguous(scale)};
  arguments.check();
  Tensor values = allocate({query.size(0), k}, query.scalar_type());
  Tensor columns = allocate({query.size(0), k}, ScalarType::Long);
  TopK(arguments, values, columns).run();
  return {values, columns};
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("topk_scores", TORCH_BOX(&graphkern::topk_scores)); }
#endif
