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

// Walks tiles of kTileRows queries by kColumnBlock keys. In a tile the weights, which are the gradients of the logits,
// are computed once, by blocks of queries that also add w @ key to their sums; then blocks of keys add
// w.T @ query. Every sum has one owner and a fixed order, so the number of threads does not show.
template <typename A>
struct Backward {
  static constexpr bool kDouble = std::is_same_v<A, double>;
  const ScalarType type;
  const Operand queries, keys;  // queries scaled
  const int64_t num_queries, num_keys, depth;
  const Targets& targets;
  Wide bias;
  const A *lse, *grad;          // [B]
  const A *lse_key, *grad_key;  // [K] of the other direction, null where there is none
  A *grad_query, *grad_bias;    // [B, D], [K], zero at first
  Buffer weights{kTileRows * kColumnBlock * int64_t(sizeof(A))};

  // Weights of rows [first, first + rows) in the tile's columns, into the tile's place for them; grad_query += w @ key.
  void query_block(int64_t tile, int64_t first, int64_t rows, int64_t column, const Matrix& k) {
    Buffer wide(kRowBlock * depth * sizeof(A)), product(kRowBlock * depth * sizeof(A));
    A* w = weights.as<A>((first - tile) * k.rows);
    matmul(row_major(w, rows, k.rows), queries.rows(first, rows, wide.raw()), transposed(k), type);
    for (int64_t r = 0; r < rows; ++r) targets.mask(first + r, column, column + k.rows, w + r * k.rows);
    GK_KERNEL(logits_gradient)(
        kDouble, w, bias.template as<A>(column), rows, k.rows, lse + first, grad + first,
        lse_key ? lse_key + column : nullptr, lse_key ? grad_key + column : nullptr);
    for (int64_t r = 0; r < rows; ++r) {
      const A share = grad[first + r] / A(targets.count(first + r));
      targets.positives(first + r, column, column + k.rows, [&](int64_t key) {
        w[r * k.rows + key - column] -= lse_key ? share + grad_key[key] : share;
      });
    }
    matmul(row_major(product.as<A>(), rows, depth), row_major(w, rows, k.rows), k, type);
    add(product.as<A>(), grad_query + first * depth, rows * depth);
  }

  // sum of the tile's columns [begin, begin + count) += w.T @ query; grad_bias += the sums of w.
  void key_block(const Matrix& q, int64_t columns, int64_t column, int64_t begin, int64_t count, A* sum) {
    Buffer product(kKeyBlock * depth * sizeof(A));
    const Matrix w{weights.as<A>(begin), q.rows, count, columns, 1};
    matmul(row_major(product.as<A>(), count, depth), transposed(w), q, type);
    add(product.as<A>(), sum + begin * depth, count * depth);
    for (int64_t r = 0; r < q.rows; ++r) add(weights.as<A>(r * columns + begin), grad_bias + column + begin, count);
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

  void run(Value value, char* grad_key_out) {
    Buffer wide_key(kColumnBlock * depth * sizeof(A)), wide_query(kTileRows * depth * sizeof(A));
    Buffer sum(kColumnBlock * depth * sizeof(A));
    for (int64_t column = 0; column < num_keys; column += kColumnBlock) {
      const int64_t columns = std::min(kColumnBlock, num_keys - column);
      const Matrix k = keys.rows(column, columns, wide_key.raw());
      std::fill_n(sum.as<A>(), columns * depth, A(0));
      for (int64_t tile = 0; tile < num_queries; tile += kTileRows) {
        const int64_t tile_rows = std::min(kTileRows, num_queries - tile);
        parallel_blocks(num_blocks(tile_rows, kRowBlock), [&](int64_t block) {
          const int64_t first = block * kRowBlock;
          query_block(tile, tile + first, std::min(kRowBlock, tile_rows - first), column, k);
        });
        const Matrix q = queries.rows(tile, tile_rows, wide_query.raw());
        parallel_blocks(num_blocks(columns, kKeyBlock), [&](int64_t block) {
          const int64_t first = block * kKeyBlock;
          key_block(q, columns, column, first, std::min(kKeyBlock, columns - first), sum.as<A>());
        });
      }
      GK_KERNEL(narrow)(value, sum.raw(), grad_key_out + column * depth * keys.bytes, columns * depth);
    }
  }
};

template <typename A>
void backward(
    const Tensor& grad, const Tensor& query, const Tensor& key, const Targets& targets,
    const std::optional<Tensor>& bias, double scale, const Tensor& lse, const Tensor& lse_key, Tensor& grad_query,
    Tensor& grad_key, Tensor& grad_bias, Tensor& grad_scale) {
  const Value value = value_of(query);
  const int64_t num_queries = query.size(0), num_keys = key.size(0), depth = query.size(1);
  const bool symmetric = lse_key.size(0) > 0;
  Summed summed_query(grad_query), summed_bias(grad_bias);
  Buffer of_row(num_queries * sizeof(A));  // what each row's weights are multiplied by
  GK_KERNEL(widen)(value, pointer(grad), of_row.raw(), num_queries, symmetric ? 0.5 : 1);
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
      static_cast<A*>(summed_query.raw()),
      static_cast<A*>(summed_bias.raw())};
  pass.run(value, static_cast<char*>(grad_key.mutable_data_ptr()));
  *static_cast<A*>(grad_scale.mutable_data_ptr()) = pass.scale_queries();
  summed_query.finish();
  summed_bias.finish();
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
  type == ScalarType::Double ? run(baseline::Tag<double>{}) : run(baseline::Tag<float>{});
  return {grad_query, grad_key, grad_bias, grad_scale};
}

}  // namespace
}  // namespace graphkern::info_nce

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("info_nce_backward", TORCH_BOX(&graphkern::info_nce::launch)); }
#endif
