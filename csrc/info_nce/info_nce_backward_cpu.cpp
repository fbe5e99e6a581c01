#include "logits.h"

#ifdef GK_LAUNCHER
namespace graphkern::info_nce {
namespace {

// to[i] += from[i]
template <typename A>
void add(const A* from, A* to, int64_t size) {
  for (int64_t i = 0; i < size; ++i) to[i] += from[i];
}

// A result that is summed up in the accumulation type: in place where it has that type.
class Summed {
 public:
  explicit Summed(Tensor& out)
      : out_(out),
        in_place_(out.scalar_type() == accumulate_type(out)),
        buffer_(in_place_ ? 0 : out.numel() * sizeof(float)) {
    std::fill_n(static_cast<char*>(raw()), out.numel() * accumulate_bytes(out), 0);
  }

  void* raw() { return in_place_ ? out_.mutable_data_ptr() : buffer_.raw(); }

  void finish() {
    if (!in_place_) GK_KERNEL(narrow)(value_of(out_), buffer_.raw(), out_.mutable_data_ptr(), out_.numel());
  }

 private:
  Tensor& out_;
  bool in_place_;
  Buffer buffer_;
};

// A task owns a group of keys, whose gradients it sums; what it adds to those of the queries is kept apart, one group
// beside the other, for kSlab queries at a time, and then added up in the order of groups. So every sum has a fixed
// order, and the weights, which are the gradients of the logits, are used for both while they are in the cache.
template <typename A>
struct Backward {
  static constexpr bool kDouble = std::is_same_v<A, double>;
  static constexpr int64_t kSlab = 4096;
  const ScalarType type;
  const Operand queries, keys;  // queries scaled
  const int64_t num_queries, num_keys, depth;
  const Targets& targets;
  Wide bias;
  const A *lse, *grad;                   // [B]
  const A *lse_key, *grad_of_key;        // [K] of the other direction, null where there is none
  A *grad_query, *grad_key, *grad_bias;  // [B, D], [K, D], [K], zero at first

  // The weights of queries [row, row + q.rows) and keys [column, column + k.rows), into w.
  void weigh(A* w, int64_t row, const Matrix& q, int64_t column, const Matrix& k) {
    matmul(row_major(w, q.rows, k.rows), q, transposed(k), type);
    for (int64_t r = 0; r < q.rows; ++r) targets.mask(row + r, column, column + k.rows, w + r * k.rows);
    GK_KERNEL(logits_gradient)(
        kDouble, w, bias.template as<A>(column), q.rows, k.rows, lse + row, grad + row,
        lse_key ? lse_key + column : nullptr, lse_key ? grad_of_key + column : nullptr);
    for (int64_t r = 0; r < q.rows; ++r) {
      const A share = grad[row + r] / A(targets.count(row + r));
      targets.positives(row + r, column, column + k.rows, [&](int64_t key) {
        w[r * k.rows + key - column] -= lse_key ? share + grad_of_key[key] : share;
      });
    }
  }

  // Queries [slab, slab + rows) against a group of keys; to_query: [rows, D] takes the sum of w @ key.
  void group(const KeyGroups& groups, int64_t number, int64_t slab, int64_t rows, A* to_query) {
    Buffer weights(KeyGroups::kRows * groups.width * sizeof(A)), wide_query(KeyGroups::kRows * depth * sizeof(A));
    Buffer wide_key(groups.width * depth * sizeof(A)),
        product(std::max(KeyGroups::kRows, groups.width) * depth * sizeof(A));
    A* w = weights.as<A>();
    std::fill_n(to_query, rows * depth, A(0));
    groups.each_tile(number, [&](int64_t column, int64_t columns) {
      const Matrix k = keys.rows(column, columns, wide_key.raw());
      for (int64_t row = 0; row < rows; row += KeyGroups::kRows) {
        const Matrix q = queries.rows(slab + row, std::min(KeyGroups::kRows, rows - row), wide_query.raw());
        weigh(w, slab + row, q, column, k);
        const Matrix block = row_major(w, q.rows, columns);
        matmul(row_major(product.raw(), q.rows, depth), block, k, type);
        add(product.as<A>(), to_query + row * depth, q.rows * depth);
        matmul(row_major(product.raw(), columns, depth), transposed(block), q, type);
        add(product.as<A>(), grad_key + column * depth, columns * depth);
        for (int64_t r = 0; r < q.rows; ++r) add(w + r * columns, grad_bias + column, columns);
      }
    });
  }

  void run() {
    const KeyGroups groups(num_keys);
    const int64_t slab_size = std::min(kSlab, num_queries) * depth;
    Buffer partial(groups.count * slab_size * sizeof(A));
    for (int64_t slab = 0; slab < num_queries; slab += kSlab) {
      const int64_t rows = std::min(kSlab, num_queries - slab);
      parallel_blocks(
          groups.count, [&](int64_t number) { group(groups, number, slab, rows, partial.as<A>(number * slab_size)); });
      parallel_blocks(num_blocks(rows, KeyGroups::kRows), [&](int64_t block) {
        const int64_t first = block * KeyGroups::kRows * depth,
                      size = std::min(KeyGroups::kRows * depth, rows * depth - first);
        for (int64_t number = 0; number < groups.count; ++number) {
          add(partial.as<A>(number * slab_size + first), grad_query + slab * depth + first, size);
        }
      });
    }
  }

  // Multiplies grad_query, w @ key so far, by the scale; returns the gradient of the scale, the sum of what it was
  // times the query.
  A scale_queries() {
    Buffer wide(kRowBlock * depth * sizeof(A));
    double sum = 0;
    for (int64_t first = 0; first < num_queries; first += kRowBlock) {
      const Matrix q = queries.rows(first, std::min(kRowBlock, num_queries - first), wide.raw());
      const A* scaled = static_cast<const A*>(q.data);
      A* gradient = grad_query + first * depth;
      for (int64_t i = 0; i < q.rows * depth; ++i) {
        sum += double(gradient[i]) * scaled[i];
        gradient[i] *= A(queries.scale);
      }
    }
    return A(sum / queries.scale);
  }
};

template <typename A>
void backward(
    const Tensor& grad, const Tensor& query, const Tensor& key, const Targets& targets,
    const std::optional<Tensor>& bias, double scale, const Tensor& lse, const Tensor& lse_key, Tensor& grad_query,
    Tensor& grad_key, Tensor& grad_bias, Tensor& grad_scale) {
  const int64_t num_queries = query.size(0), num_keys = key.size(0), depth = query.size(1);
  const bool symmetric = lse_key.size(0) > 0;
  Summed of_query(grad_query), of_key(grad_key), of_bias(grad_bias);
  Buffer of_row(num_queries * sizeof(A));  // what each row's weights are multiplied by
  GK_KERNEL(widen)(value_of(query), pointer(grad), of_row.raw(), num_queries, symmetric ? 0.5 : 1);
  for (int64_t b = 0; b < num_queries; ++b) {
    if (targets.count(b) == 0) of_row.as<A>()[b] = 0;
  }
  Backward<A> pass{
      accumulate_type(query),
      Operand(query, scale),
      Operand(key, 1),
      num_queries,
      num_keys,
      depth,
      targets,
      Wide(bias),
      static_cast<const A*>(lse.const_data_ptr()),
      of_row.as<A>(),
      symmetric ? static_cast<const A*>(lse_key.const_data_ptr()) : nullptr,
      symmetric ? of_row.as<A>() : nullptr,
      static_cast<A*>(of_query.raw()),
      static_cast<A*>(of_key.raw()),
      static_cast<A*>(of_bias.raw())};
  pass.run();
  *static_cast<A*>(grad_scale.mutable_data_ptr()) = pass.scale_queries();
  for (Summed* sum : {&of_query, &of_key, &of_bias}) sum->finish();
}

// grad, lse: [B], lse_key: [K] or [0]. Returns the gradients for query [B, D], key [K, D], bias [K] and scale []
std::tuple<Tensor, Tensor, Tensor, Tensor> launch(
    const Tensor& grad, const Tensor& query, const Tensor& key, const std::optional<Tensor>& indptr,
    const Tensor& target, const std::optional<Tensor>& bias, const std::optional<Tensor>& key_id, const Tensor& scale,
    const Tensor& lse, const Tensor& lse_key) {
  const Tensor g = as_contiguous(grad), q = as_contiguous(query), k = as_contiguous(key);
  const Tensor of_rows = as_contiguous(lse), of_keys = as_contiguous(lse_key);
  const std::optional<Tensor> b = as_contiguous(bias);
  const int64_t num_queries = query.size(0), num_keys = key.size(0);
  const bool symmetric = lse_key.size(0) > 0;
  const ScalarType type = accumulate_type(query);
  check_shapes(query, key, bias, indptr, symmetric);
  STD_TORCH_CHECK(
      grad.numel() == num_queries && lse_key.dim() == 1 && grad.scalar_type() == query.scalar_type() &&
          lse.numel() == num_queries && (!symmetric || lse_key.numel() == num_keys) && lse.scalar_type() == type &&
          lse_key.scalar_type() == type,
      "grad, lse and lse_key must be what the forward pass was given and returned");
  const Targets targets(indptr, target, key_id, num_queries, num_keys);
  Tensor grad_query = allocate({num_queries, query.size(1)}, query.scalar_type());
  Tensor grad_key = allocate({num_keys, key.size(1)}, key.scalar_type());
  Tensor grad_bias = allocate({num_keys}, key.scalar_type()), grad_scale = allocate({}, type);
  const auto run = [&](auto tag) {
    backward<typename decltype(tag)::type>(
        g, q, k, targets, b, scale_of(scale, type), of_rows, of_keys, grad_query, grad_key, grad_bias, grad_scale);
  };
  baseline::dispatch_accumulate(type == ScalarType::Double, run);
  return {grad_query, grad_key, grad_bias, grad_scale};
}

}  // namespace
}  // namespace graphkern::info_nce

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("info_nce_backward", TORCH_BOX(&graphkern::info_nce::launch)); }
#endif
