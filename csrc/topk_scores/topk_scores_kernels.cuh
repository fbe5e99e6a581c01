// The k best items of each query, without the score matrix. A warp takes kRows queries and the block's part of the
// items: scores of a tile of items from shared memory, in registers; those above the query's threshold are added to the
// query's list, and where that is full its best are kept and the threshold rises. A second kernel merges the lists of a
// query. The lists take a fixed size: queries go in batches.
#pragma once

#include "../common/topk.cuh"

#ifndef GPU_WINDOW
#define GPU_WINDOW 2048  // items; a multiple of a tile. Tests choose a small one
#endif
#ifndef GPU_PART
#define GPU_PART 512  // items, at least, of a part; tests choose a small one
#endif
#ifndef GPU_LISTS
#define GPU_LISTS (256 << 20)  // bytes of the lists of a batch; tests choose few
#endif

namespace graphkern::cuda {

constexpr int kRows = 8, kMaxWarps = 8;      // queries a warp, warps a block
constexpr int kMarkWords = GPU_WINDOW / 32;  // items whose excluded ones are marked at a time
constexpr int64_t kScanWarps = 132 * 16;     // that keep a device busy

// Items a lane and values a query or item, in shared memory at a time; the pitch keeps banks apart.
template <typename A>
struct Tile {
  static constexpr int kVector = kWide<A>, kDepth = 256 / int(sizeof(A)), kPitch = kDepth + kVector;
  static constexpr int kLane = 16 / int(sizeof(A)), kItems = kLane * kWarp;
  static_assert(GPU_WINDOW % kItems == 0);
};

enum class Kind { f32, f64, f16, bf16, i8 };

// [rows, depth] of any type. wide: kVector of them load together.
struct Matrix {
  const void* values;
  Kind kind;
  bool wide;
};

__device__ inline float to_accumulate(int8_t value) { return float(value); }

template <typename A, int V, typename T>
__device__ inline Vector<A, V> read_as(const void* values, int64_t at, int64_t count, bool wide) {
  Vector<A, V> result;
  const T* from = static_cast<const T*>(values) + at;
  if (wide) {
    const Vector<T, V> read = load<T, V>(from);
#pragma unroll
    for (int v = 0; v < V; ++v) result.at[v] = A(to_accumulate(read.at[v]));
  } else {
#pragma unroll
    for (int v = 0; v < V; ++v) result.at[v] = v < count ? A(to_accumulate(from[v])) : A(0);
  }
  return result;
}

// V values from `at` on, of which `count` > 0 exist; the others are 0.
template <typename A, int V>
__device__ inline Vector<A, V> read_values(const Matrix& m, int64_t at, int64_t count) {
  if constexpr (sizeof(A) == 8) {
    if (m.kind == Kind::f64) return read_as<A, V, double>(m.values, at, count, m.wide);
  }
  switch (m.kind) {
    case Kind::f16:
      return read_as<A, V, Half>(m.values, at, count, m.wide);
    case Kind::bf16:
      return read_as<A, V, BFloat16>(m.values, at, count, m.wide);
    case Kind::i8:
      return read_as<A, V, int8_t>(m.values, at, count, m.wide);
    default:
      return read_as<A, V, float>(m.values, at, count, m.wide);
  }
}

// query: [B, depth], item: [N, depth], scale, mask: [N] or null; indptr [B + 1] and indices: excluded columns, or null.
template <typename A>
struct ScoreArguments {
  Matrix query, item;
  const A* scale;
  const bool* mask;
  const void *indptr, *indices;
  bool is_64bit;
  int64_t num_queries, num_items, depth;
  int k;
};

// How a batch of queries is shared out. Lists: [num_queries of a batch, parts, capacity] keys, of which the first
// `most` are the result.
struct ScanPlan {
  int64_t num_queries, parts, part_items;
  int warps, most, capacity;

  __host__ __device__ int64_t rows() const { return int64_t(warps) * kRows; }
  __host__ __device__ int64_t tiles() const { return (num_queries + rows() - 1) / rows(); }
};

template <typename A>
class ItemScan {
 public:
  using Key = typename TopKey<A>::Key;
  using Shape = Tile<A>;
  static constexpr int kLane = Shape::kLane, kVector = Shape::kVector, kPitch = Shape::kPitch;

  __device__ ItemScan(const ScoreArguments<A>& arguments, const ScanPlan& plan, A* shared)
      : a_(arguments),
        plan_(plan),
        items_(shared),
        queries_(items_ + Shape::kItems * kPitch),
        excluded_(reinterpret_cast<unsigned*>(queries_ + plan.rows() * kPitch) + warp_id() * kRows * kMarkWords) {}

  // Queries [first, first + plan.rows()) of those before `end`; list_row: the first of them among those of the batch.
  __device__ void run(int64_t first, int64_t end, int64_t list_row, int64_t part, Key* lists) {
    first_ = first;
    end_ = end;
    part_begin_ = part * plan_.part_items;
    part_end_ = part_begin_ + plan_.part_items < a_.num_items ? part_begin_ + plan_.part_items : a_.num_items;
    lists_ = lists + ((list_row + warp_id() * kRows) * plan_.parts + part) * plan_.capacity;
    count_ = 0;
    threshold_ = row(lane_id() % kRows) < end ? -A(INFINITY) : A(INFINITY);
    bool stage_queries = true;
    for (int64_t item = part_begin_; item < part_end_; item += Shape::kItems) {
      A score[kRows][kLane] = {};
      for (int64_t depth = 0; depth == 0 || depth < a_.depth; depth += Shape::kDepth) {
        const int width = int(a_.depth - depth < Shape::kDepth ? a_.depth - depth : Shape::kDepth);
        __syncthreads();  // what was staged before was read
        stage(a_.item, item, part_end_, Shape::kItems, depth, width, a_.scale, items_);
        if (stage_queries) stage(a_.query, first_, end_, int(plan_.rows()), depth, width, nullptr, queries_);
        if (depth == 0 && (item - part_begin_) % GPU_WINDOW == 0) mark_excluded(item);
        __syncthreads();
        multiply(width, score);
      }
      stage_queries = a_.depth > Shape::kDepth;  // else they stay
      take(item, score);
    }
    finish();
  }

 private:
  // Query r of this warp.
  __device__ int64_t row(int r) const { return first_ + warp_id() * kRows + r; }
  __device__ Key* list(int r) const { return lists_ + int64_t(r) * plan_.parts * plan_.capacity; }

  // Values [depth, depth + width) of rows from `first` on, zeros from `end` on and up to a whole vector.
  __device__ void stage(
      const Matrix& from, int64_t first, int64_t end, int rows, int64_t depth, int width, const A* scale, A* to) const {
    constexpr int kVectors = Shape::kDepth / kVector;
    for (int i = threadIdx.x; i < rows * kVectors; i += blockDim.x) {
      const int row = i / kVectors, d = i % kVectors * kVector;
      if (d >= width) continue;
      Vector<A, kVector> values = {};
      if (first + row < end) {
        values = read_values<A, kVector>(from, (first + row) * a_.depth + depth + d, width - d);
        const A factor = scale != nullptr ? scale[first + row] : A(1);
#pragma unroll
        for (int v = 0; v < kVector; ++v) values.at[v] *= factor;
      }
      store(to + row * kPitch + d, values);
    }
  }

  // One bit for each of this warp's queries and the items of the window.
  __device__ void mark_excluded(int64_t window) const {
    if (a_.indptr == nullptr) return;
    for (int i = lane_id(); i < kRows * kMarkWords; i += kWarp) excluded_[i] = 0;
    __syncwarp();
    for (int r = 0; r < kRows && row(r) < end_; ++r) {
      const int64_t end = index(a_.indptr, row(r) + 1);
      for (int64_t e = index(a_.indptr, row(r)) + lane_id(); e < end; e += kWarp) {
        const int64_t place = index(a_.indices, e) - window;
        if (place < 0 || place >= GPU_WINDOW) continue;
        atomicOr(&excluded_[r * kMarkWords + place / 32], 1u << (place % 32));
      }
    }
  }

  __device__ int64_t index(const void* indices, int64_t at) const {
    return a_.is_64bit ? static_cast<const int64_t*>(indices)[at] : int64_t(static_cast<const int32_t*>(indices)[at]);
  }

  // Item j of a lane is j * kWarp + its number.
  __device__ void multiply(int width, A (&score)[kRows][kLane]) const {
    const A* queries = queries_ + warp_id() * kRows * kPitch;
    const A* items = items_ + lane_id() * kPitch;
#pragma unroll 1
    for (int d = 0; d < width; d += kVector) {
      Vector<A, kVector> item[kLane];
#pragma unroll
      for (int j = 0; j < kLane; ++j) item[j] = load<A, kVector>(items + j * kWarp * kPitch + d);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const Vector<A, kVector> query = load<A, kVector>(queries + r * kPitch + d);
#pragma unroll
        for (int v = 0; v < kVector; ++v) {
#pragma unroll
          for (int j = 0; j < kLane; ++j) score[r][j] += query.at[v] * item[j].at[v];
        }
      }
    }
  }

  // Adds the scores above the thresholds to the lists.
  __device__ void take(int64_t item, const A (&score)[kRows][kLane]) {
    unsigned rows = 0;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const A threshold = __shfl_sync(kAllLanes, threshold_, r);
      bool above = false;
#pragma unroll
      for (int j = 0; j < kLane; ++j) above |= score[r][j] > threshold;
      if (__any_sync(kAllLanes, above)) rows |= 1u << r;
    }
    for (; rows != 0; rows &= rows - 1) {
      const int r = __ffs(int(rows)) - 1;
      A of_row[kLane];
#pragma unroll
      for (int q = 0; q < kRows; ++q) {  // score[r], from registers
#pragma unroll
        for (int j = 0; j < kLane; ++j) of_row[j] = q == r ? score[q][j] : q == 0 ? A(0) : of_row[j];
      }
      take_row(r, item, of_row);
    }
  }

  // Of equal scores those taken first have the lower columns: what only equals the threshold is not among the k best.
  __device__ void take_row(int r, int64_t item, const A (&score)[kLane]) {
    int count = __shfl_sync(kAllLanes, count_, r);
    A threshold = __shfl_sync(kAllLanes, threshold_, r);
    Key* keys = list(r);
    const unsigned* excluded = excluded_ + r * kMarkWords + (item - part_begin_) % GPU_WINDOW / 32;
    if (count + Shape::kItems > plan_.capacity) {
      threshold = score_of<A>(keep_best<WarpGroup>(keys, count, a_.k, plan_.most));
    }
#pragma unroll
    for (int j = 0; j < kLane; ++j) {
      const int64_t column = item + j * kWarp + lane_id();
      bool taken = score[j] > threshold && column < part_end_;
      if (taken && a_.mask != nullptr) taken = a_.mask[column];
      if (taken && a_.indptr != nullptr) taken = (excluded[j] >> lane_id() & 1) == 0;
      const unsigned all = __ballot_sync(kAllLanes, taken);
      if (taken) keys[count + __popc(all & ((1u << lane_id()) - 1))] = key_of<Key>(score[j], column);
      count += __popc(all);
    }
    if (lane_id() % kRows == r) {
      count_ = count;
      threshold_ = threshold;
    }
  }

  __device__ void finish() const {
    for (int r = 0; r < kRows && row(r) < end_; ++r) {
      int count = __shfl_sync(kAllLanes, count_, r);
      if (count > plan_.most) keep_best<WarpGroup>(list(r), count, a_.k, plan_.most);
      for (int i = count + lane_id(); i < plan_.most; i += kWarp) list(r)[i] = 0;
    }
  }

  const ScoreArguments<A>& a_;
  const ScanPlan& plan_;
  A *items_, *queries_;  // [kItems or plan.rows(), kPitch] in shared memory
  unsigned* excluded_;   // [kRows, kMarkWords] of this warp, likewise
  int64_t first_, end_, part_begin_, part_end_;
  Key* lists_;
  int count_;    // lane r: keys of query r
  A threshold_;  // lane r: what a score of query r must exceed
};

// Queries [first, first + plan.num_queries).
template <typename A>
__global__ void __launch_bounds__(kMaxWarps* kWarp, 2)
    scan_items(const ScoreArguments<A> arguments, const ScanPlan plan, int64_t first, typename TopKey<A>::Key* lists) {
  GPU_DYNAMIC_SHARED(A, shared);
  for (int64_t unit = blockIdx.x; unit < plan.tiles() * plan.parts; unit += gridDim.x) {
    const int64_t tile = unit / plan.parts;
    ItemScan<A> scan(arguments, plan, shared);
    scan.run(first + tile * plan.rows(), first + plan.num_queries, tile * plan.rows(), unit % plan.parts, lists);
  }
}

template <typename Key>
struct ScannedLists {
  const Key* lists;
  Divisor most;
  int64_t parts, capacity;

  __device__ Key operator()(int64_t row, int64_t i) const {
    const int64_t part = most.quotient(i);
    return lists[(row * parts + part) * capacity + most.remainder(i, part)];
  }
};

template <typename A>
ScanPlan plan_scan(const ScoreArguments<A>& a) {
  ScanPlan plan{};
  const int64_t queries = a.num_queries;
  plan.warps = int(queries < kMaxWarps * kRows ? (queries + kRows - 1) / kRows : kMaxWarps);
  plan.num_queries = queries;
  plan.most = a.k + a.k / 4 + 8;
  plan.capacity = plan.most + (a.k / 2 > Tile<A>::kItems ? a.k / 2 : Tile<A>::kItems);
  const int64_t wanted = kScanWarps / (plan.tiles() * plan.warps);
  const int64_t least = 4 * int64_t(a.k) > GPU_PART ? 4 * int64_t(a.k) : GPU_PART, most = a.num_items / least;
  plan.parts = wanted < most ? wanted : most;
  if (plan.parts < 1) plan.parts = 1;
  plan.part_items = (a.num_items + plan.parts - 1) / plan.parts;
  plan.parts = (a.num_items + plan.part_items - 1) / plan.part_items;
  const int64_t bytes = plan.parts * plan.capacity * int64_t(sizeof(typename TopKey<A>::Key));  // a query
  const int64_t tiles = GPU_LISTS / bytes / plan.rows();
  const int64_t batch = tiles > 0 ? tiles * plan.rows() : plan.rows();
  if (batch < queries) plan.num_queries = batch;
  return plan;
}

// values, columns: [num_queries, k]. allocate(bytes) gives device memory that lives until the kernels ran.
template <typename T, typename Allocate>
void topk_scores(
    Stream stream, const ScoreArguments<Accumulate<T>>& a, T* values, int64_t* columns, Allocate&& allocate) {
  using A = Accumulate<T>;
  using Key = typename TopKey<A>::Key;
  if (a.num_queries == 0) return;
  ScanPlan plan = plan_scan(a);
  const int64_t batch = plan.num_queries, size = plan.parts * plan.most;
  Key* lists = static_cast<Key*>(allocate(batch * plan.parts * plan.capacity * int64_t(sizeof(Key))));
  void* merging = nullptr;
  const auto allocate_once = [&](int64_t bytes) {  // the first batch is the largest
    return merging != nullptr ? merging : merging = allocate(bytes);
  };
  const int64_t shared = (Tile<A>::kItems + plan.rows()) * Tile<A>::kPitch * int64_t(sizeof(A)) +
                         (a.indptr != nullptr ? plan.rows() * kMarkWords * 4 : 0);
  for (int64_t first = 0; first < a.num_queries; first += batch) {
    plan.num_queries = a.num_queries - first < batch ? a.num_queries - first : batch;
    launch_blocks(stream, plan.tiles() * plan.parts, plan.warps * kWarp, shared, scan_items<A>, a, plan, first, lists);
    merge_best<Key>(
        stream, ScannedLists<Key>{lists, Divisor(plan.most), plan.parts, plan.capacity}, plan.num_queries, size, a.k,
        values + first * a.k, columns + first * a.k, allocate_once);
  }
}

}  // namespace graphkern::cuda
