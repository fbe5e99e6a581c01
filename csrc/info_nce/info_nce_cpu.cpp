#include "../common/dispatch.h"

namespace graphkern {

// Kernels over one block of logits, s: [rows, columns] of the accumulation type (is_double or float), unbiased.
GK_DECLARE_KERNEL(
    void, logits_update, bool is_double, void* s, const void* bias, int64_t rows, int64_t columns, void* maximum,
    void* sum)
GK_DECLARE_KERNEL(
    void, logits_gradient, bool is_double, void* s, const void* bias, int64_t rows, int64_t columns, const void* lse,
    const void* grad)

namespace GK_ISA {
namespace {

// Online log-sum-exp: maximum[r] and sum[r] = sum of exp(s - maximum) so far take in one block more.
template <typename A>
void update(A* s, const A* bias, int64_t rows, int64_t columns, A* maximum, A* sum) {
  constexpr int L = kLanes<A>;
  const int64_t whole = columns / L * L;
  for (int64_t r = 0; r < rows; ++r, s += columns) {
    Vec<A> best = Vec<A>{} - A(INFINITY);
    for (int64_t c = 0; c < whole; c += L) {
      const Vec<A> value = bias ? load(s + c) + load(bias + c) : load(s + c);
      store(value, s + c);
      best = (value > best) | (value != value) ? value : best;
    }
    A top = maximum[r];
    for (int i = 0; i < L; ++i) top = best[i] > top || best[i] != best[i] ? best[i] : top;
    for (int64_t c = whole; c < columns; ++c) {
      if (bias) s[c] += bias[c];
      top = s[c] > top || s[c] != s[c] ? s[c] : top;
    }
    if (top == -A(INFINITY)) continue;  // nothing but -inf so far
    Vec<A> total = {};
    for (int64_t c = 0; c < whole; c += L) total += exp(load(s + c) - top);
    A tail = 0;
    for (int64_t c = whole; c < columns; ++c) tail += exp(Vec<A>{} + (s[c] - top))[0];
    const A before = sum[r] == 0 ? A(0) : sum[r] * exp(Vec<A>{} + (maximum[r] - top))[0];
    sum[r] = before + (sum_lanes<kLanes<A>, 1, A>(&total)[0] + tail);
    maximum[r] = top;
  }
}

// s = grad[r] * exp(s + bias - lse[r])
template <typename A>
void gradient(A* s, const A* bias, int64_t rows, int64_t columns, const A* lse, const A* grad) {
  constexpr int L = kLanes<A>;
  const int64_t whole = columns / L * L;
  for (int64_t r = 0; r < rows; ++r, s += columns) {
    for (int64_t c = 0; c < whole; c += L) {
      const Vec<A> logit = bias ? load(s + c) + load(bias + c) : load(s + c);
      store(exp(logit - lse[r]) * grad[r], s + c);
    }
    for (int64_t c = whole; c < columns; ++c) {
      const A logit = bias ? s[c] + bias[c] : s[c];
      s[c] = exp(Vec<A>{} + (logit - lse[r]))[0] * grad[r];
    }
  }
}

}  // namespace

void logits_update(bool is_double, void* s, const void* bias, int64_t rows, int64_t columns, void* maximum, void* sum) {
  const auto run = [&](auto tag) {
    using A = typename decltype(tag)::type;
    update((A*)s, (const A*)bias, rows, columns, (A*)maximum, (A*)sum);
  };
  is_double ? run(Tag<double>{}) : run(Tag<float>{});
}

void logits_gradient(
    bool is_double, void* s, const void* bias, int64_t rows, int64_t columns, const void* lse, const void* grad) {
  const auto run = [&](auto tag) {
    using A = typename decltype(tag)::type;
    gradient((A*)s, (const A*)bias, rows, columns, (const A*)lse, (const A*)grad);
  };
  is_double ? run(Tag<double>{}) : run(Tag<float>{});
}

}  // namespace GK_ISA
}  // namespace graphkern

#ifdef GK_LAUNCHER
#include <cmath>

#include "../common/matmul.h"

namespace graphkern {
namespace {

constexpr int64_t kRowBlock = 64;       // queries a product
constexpr int64_t kColumnBlock = 1024;  // keys a product: 64 x 1024 floats stay in the second-level cache
constexpr int64_t kTileRows = 1024;     // backward: queries whose weights are kept for both products
constexpr int64_t kKeyBlock = 128;      // backward: keys a product

template <typename A>
std::tuple<Tensor, Tensor> forward(
    const Tensor& query, const Tensor& key, const int64_t* target, const std::optional<Tensor>& bias, double scale) {
  constexpr bool kDouble = std::is_same_v<A, double>;
  const ScalarType type = accumulate_type(query);
  const int64_t num_queries = query.size(0), num_keys = key.size(0), depth = query.size(1);
  Tensor loss = allocate({num_queries}, query.scalar_type()), lse = allocate({num_queries}, type);
  const Operand queries(query, scale), keys(key, 1);
  Buffer wide_bias(num_keys * sizeof(A));
  if (bias) GK_KERNEL(widen)(value_of(*bias), pointer(*bias), wide_bias.raw(), num_keys, 1);
  A* lse_out = static_cast<A*>(lse.mutable_data_ptr());
  Buffer wide_loss(num_queries * sizeof(A));
  const auto update = GK_KERNEL(logits_update);
  parallel_blocks((num_queries + kRowBlock - 1) / kRowBlock, [&](int64_t block) {
    Buffer logits(kRowBlock * kColumnBlock * sizeof(A)), wide_query(kRowBlock * depth * sizeof(A));
    Buffer wide_key(kColumnBlock * depth * sizeof(A));
    A maximum[kRowBlock], sum[kRowBlock], positive[kRowBlock];
    const int64_t first = block * kRowBlock, rows = std::min(kRowBlock, num_queries - first);
    const Matrix q = queries.rows(first, rows, wide_query.raw());
    std::fill_n(maximum, rows, -A(INFINITY));
    std::fill_n(sum, rows, A(0));
    for (int64_t column = 0; column < num_keys; column += kColumnBlock) {
      const int64_t columns = std::min(kColumnBlock, num_keys - column);
      A* s = logits.as<A>();
      matmul(row_major(s, rows, columns), q, transposed(keys.rows(column, columns, wide_key.raw())), type);
      update(kDouble, s, bias ? wide_bias.as<A>(column) : nullptr, rows, columns, maximum, sum);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t c = target[first + r] - column;
        if (c >= 0 && c < columns) positive[r] = s[r * columns + c];
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      lse_out[first + r] = maximum[r] + std::log(sum[r]);
      wide_loss.as<A>()[first + r] = lse_out[first + r] - positive[r];
    }
  });
  GK_KERNEL(narrow)(value_of(query), wide_loss.raw(), loss.mutable_data_ptr(), num_queries);
  return {loss, lse};
}

void check_targets(const Tensor& target, int64_t num_keys) {
  const int64_t* values = static_cast<const int64_t*>(target.const_data_ptr());
  for (int64_t b = 0; b < target.size(0); ++b) {
    STD_TORCH_CHECK(
        values[b] >= 0 && values[b] < num_keys, "target must be in [0, ", num_keys, ") but has ", values[b]);
  }
}

// query: [B, D], key: [K, D], target: [B], bias: [K], scale: []. Returns loss, lse [B]
std::tuple<Tensor, Tensor> info_nce(
    const Tensor& query, const Tensor& key, const Tensor& target, const std::optional<Tensor>& bias,
    const Tensor& scale) {
  const Tensor q = as_contiguous(query), k = as_contiguous(key);
  const Tensor t = as_contiguous(target);
  check_targets(t, key.size(0));
  const int64_t* targets = static_cast<const int64_t*>(t.const_data_ptr());
  if (accumulate_type(query) == ScalarType::Double) {
    return forward<double>(q, k, targets, as_contiguous(bias), *static_cast<const double*>(scale.const_data_ptr()));
  }
  return forward<float>(q, k, targets, as_contiguous(bias), *static_cast<const float*>(scale.const_data_ptr()));
}

// to[i] += from[i]
template <typename A>
void add(const A* from, A* to, int64_t size) {
  for (int64_t i = 0; i < size; ++i) to[i] += from[i];
}

// Walks tiles of kTileRows queries by kColumnBlock keys. In a tile the weights w = grad * (softmax - one hot) are
// computed once, by blocks of queries that also add w @ key to their gradients; then blocks of keys add w.T @ query.
// Every sum has one owner and a fixed order, so the number of threads does not show.
template <typename A>
struct Backward {
  static constexpr bool kDouble = std::is_same_v<A, double>;
  const ScalarType type;
  const Operand queries, keys;
  const int64_t num_queries, num_keys, depth;
  const int64_t* target;
  const A *lse, *grad, *bias;  // bias null where there is none
  A *grad_query, *grad_bias;   // [B, D], [K], zero at first
  Buffer weights{kTileRows * kColumnBlock * int64_t(sizeof(A))};

  // w for rows [first, first + rows) of the tile's columns, into the tile's place for them; grad_query += w @ key.
  void query_block(int64_t tile, int64_t first, int64_t rows, int64_t column, const Matrix& k) {
    Buffer wide(kRowBlock * depth * sizeof(A)), product(kRowBlock * depth * sizeof(A));
    A* w = weights.as<A>((first - tile) * k.rows);
    matmul(row_major(w, rows, k.rows), queries.rows(first, rows, wide.raw()), transposed(k), type);
    GK_KERNEL(logits_gradient)(kDouble, w, bias ? bias + column : nullptr, rows, k.rows, lse + first, grad + first);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t c = target[first + r] - column;
      if (c >= 0 && c < k.rows) w[r * k.rows + c] -= grad[first + r];
    }
    matmul(row_major(product.as<A>(), rows, depth), row_major(w, rows, k.rows), k, type);
    add(product.as<A>(), grad_query + first * depth, rows * depth);
  }

  // grad_key of the tile's columns [begin, begin + count) += w.T @ query; grad_bias += the sums of w.
  void key_block(const Matrix& q, int64_t columns, int64_t column, int64_t begin, int64_t count, A* grad_key) {
    Buffer product(kKeyBlock * depth * sizeof(A));
    const Matrix w{weights.as<A>(begin), q.rows, count, columns, 1};
    matmul(row_major(product.as<A>(), count, depth), transposed(w), q, type);
    add(product.as<A>(), grad_key + begin * depth, count * depth);
    for (int64_t r = 0; r < q.rows; ++r) add(weights.as<A>(r * columns + begin), grad_bias + column + begin, count);
  }

  void run(Value value, char* grad_key_out) {
    Buffer wide_key(kColumnBlock * depth * sizeof(A)), wide_query(kTileRows * depth * sizeof(A));
    Buffer grad_key(kColumnBlock * depth * sizeof(A));
    for (int64_t column = 0; column < num_keys; column += kColumnBlock) {
      const int64_t columns = std::min(kColumnBlock, num_keys - column);
      const Matrix k = keys.rows(column, columns, wide_key.raw());
      std::fill_n(grad_key.as<A>(), columns * depth, A(0));
      for (int64_t tile = 0; tile < num_queries; tile += kTileRows) {
        const int64_t tile_rows = std::min(kTileRows, num_queries - tile);
        parallel_blocks((tile_rows + kRowBlock - 1) / kRowBlock, [&](int64_t block) {
          const int64_t first = block * kRowBlock;
          query_block(tile, tile + first, std::min(kRowBlock, tile_rows - first), column, k);
        });
        const Matrix q = queries.rows(tile, tile_rows, wide_query.raw());
        parallel_blocks((columns + kKeyBlock - 1) / kKeyBlock, [&](int64_t block) {
          const int64_t first = block * kKeyBlock;
          key_block(q, columns, column, first, std::min(kKeyBlock, columns - first), grad_key.as<A>());
        });
      }
      GK_KERNEL(narrow)(value, grad_key.raw(), grad_key_out + column * depth * keys.bytes, columns * depth);
    }
  }
};

template <typename A>
std::tuple<Tensor, Tensor, Tensor> backward(
    const Tensor& grad, const Tensor& query, const Tensor& key, const int64_t* target,
    const std::optional<Tensor>& bias, double scale, const Tensor& lse) {
  const Value value = value_of(query);
  const int64_t num_queries = query.size(0), num_keys = key.size(0), depth = query.size(1);
  Tensor grad_query = allocate({num_queries, depth}, query.scalar_type());
  Tensor grad_key = allocate({num_keys, depth}, key.scalar_type()), grad_bias = allocate({num_keys}, key.scalar_type());
  Buffer wide_grad(num_queries * sizeof(A)), wide_bias(num_keys * sizeof(A));
  Buffer wide_grad_query(num_queries * depth * sizeof(A)), wide_grad_bias(num_keys * sizeof(A));
  std::fill_n(wide_grad_query.as<A>(), num_queries * depth, A(0));
  std::fill_n(wide_grad_bias.as<A>(), num_keys, A(0));
  GK_KERNEL(widen)(value, pointer(grad), wide_grad.raw(), num_queries, 1);
  if (bias) GK_KERNEL(widen)(value, pointer(*bias), wide_bias.raw(), num_keys, 1);
  Backward<A> pass{
      accumulate_type(query),
      Operand(query, scale),
      Operand(key, 1),
      num_queries,
      num_keys,
      depth,
      target,
      static_cast<const A*>(lse.const_data_ptr()),
      wide_grad.as<A>(),
      bias ? wide_bias.as<A>() : nullptr,
      wide_grad_query.as<A>(),
      wide_grad_bias.as<A>()};
  pass.run(value, static_cast<char*>(grad_key.mutable_data_ptr()));
  for (int64_t i = 0; i < num_queries * depth; ++i) wide_grad_query.as<A>()[i] *= A(scale);
  GK_KERNEL(narrow)(value, wide_grad_query.raw(), grad_query.mutable_data_ptr(), num_queries * depth);
  GK_KERNEL(narrow)(value, wide_grad_bias.raw(), grad_bias.mutable_data_ptr(), num_keys);
  return {grad_query, grad_key, grad_bias};
}

// grad, lse: [B]. Returns the gradients for query [B, D], key [K, D] and bias [K]
std::tuple<Tensor, Tensor, Tensor> info_nce_backward(
    const Tensor& grad, const Tensor& query, const Tensor& key, const Tensor& target, const std::optional<Tensor>& bias,
    const Tensor& scale, const Tensor& lse) {
  const Tensor g = as_contiguous(grad), q = as_contiguous(query);
  const Tensor k = as_contiguous(key), t = as_contiguous(target);
  const Tensor l = as_contiguous(lse);
  check_targets(t, key.size(0));
  const int64_t* targets = static_cast<const int64_t*>(t.const_data_ptr());
  if (accumulate_type(query) == ScalarType::Double) {
    const double factor = *static_cast<const double*>(scale.const_data_ptr());
    return backward<double>(g, q, k, targets, as_contiguous(bias), factor, l);
  }
  return backward<float>(g, q, k, targets, as_contiguous(bias), *static_cast<const float*>(scale.const_data_ptr()), l);
}

}  // namespace
}  // namespace graphkern

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) {
  m.impl("info_nce", TORCH_BOX(&graphkern::info_nce));
  m.impl("info_nce_backward", TORCH_BOX(&graphkern::info_nce_backward));
}
#endif
