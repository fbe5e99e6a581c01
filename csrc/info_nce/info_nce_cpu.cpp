#include "logits.h"

#ifdef GK_LAUNCHER
namespace graphkern::info_nce {
namespace {

// A running log-sum-exp of each query.
template <typename A>
struct Running {
  A *maximum, *sum;

  void clear(int64_t size) {
    std::fill_n(maximum, size, -A(INFINITY));
    std::fill_n(sum, size, A(0));
  }
};

template <typename A>
class Forward {
 public:
  Forward(
      const Tensor& query, const Tensor& key, const Targets& targets, const std::optional<Tensor>& bias, double scale,
      A* lse)
      : type_(accumulate_type(query)),
        queries_(query, scale),
        keys_(key, 1),
        num_queries_(query.size(0)),
        num_keys_(key.size(0)),
        depth_(query.size(1)),
        targets_(targets),
        bias_(bias),
        lse_(lse),
        sum_(num_queries_ * sizeof(A)),
        positive_(num_queries_ * sizeof(A)) {
    std::fill_n(positive_.template as<A>(), num_queries_, A(0));
  }

  // Every query against all keys, a block of queries a task.
  void rows() {
    const Running<A> all{lse_, sum_.template as<A>()};
    parallel_blocks(num_blocks(num_queries_, kRowBlock), [&](int64_t block) {
      Buffer logits(kRowBlock * kColumnBlock * sizeof(A)), wide_query(kRowBlock * depth_ * sizeof(A));
      Buffer wide_key(kColumnBlock * depth_ * sizeof(A));
      const int64_t first = block * kRowBlock, count = std::min(kRowBlock, num_queries_ - first);
      Running<A> running{all.maximum + first, all.sum + first};
      running.clear(count);
      const Matrix q = queries_.rows(first, count, wide_query.raw());
      for (int64_t column = 0; column < num_keys_; column += kColumnBlock) {
        const Matrix k = keys_.rows(column, std::min(kColumnBlock, num_keys_ - column), wide_key.raw());
        take(logits.as<A>(), first, q, column, k, running);
      }
    });
  }

  // As above by groups of keys; lse_key: [K] is the log-sum-exp of each key over the queries.
  void rows_and_columns(A* lse_key) {
    const KeyGroups groups(num_keys_);
    Buffer partial(2 * groups.count * num_queries_ * sizeof(A)), key_sum(num_keys_ * sizeof(A));
    Running<A> of_keys{lse_key, key_sum.as<A>()};
    of_keys.clear(num_keys_);
    const auto of_group = [&](int64_t group) {
      return Running<A>{partial.as<A>(2 * group * num_queries_), partial.as<A>((2 * group + 1) * num_queries_)};
    };
    parallel_blocks(groups.count, [&](int64_t group) {
      Buffer logits(KeyGroups::kRows * groups.width * sizeof(A)), wide_query(KeyGroups::kRows * depth_ * sizeof(A));
      Buffer wide_key(groups.width * depth_ * sizeof(A));
      Running<A> of_queries = of_group(group);
      of_queries.clear(num_queries_);
      groups.each_tile(group, [&](int64_t column, int64_t columns) {
        const Matrix k = keys_.rows(column, columns, wide_key.raw());
        for (int64_t row = 0; row < num_queries_; row += KeyGroups::kRows) {
          const Matrix q = queries_.rows(row, std::min(KeyGroups::kRows, num_queries_ - row), wide_query.raw());
          take(logits.as<A>(), row, q, column, k, {of_queries.maximum + row, of_queries.sum + row});
          GK_KERNEL(logits_columns)(
              kDouble, logits.raw(), q.rows, columns, of_keys.maximum + column, of_keys.sum + column);
        }
      });
    });
    Running<A> all{lse_, sum_.template as<A>()};
    all.clear(num_queries_);
    for (int64_t group = 0; group < groups.count; ++group) merge(of_group(group), all);
    for (int64_t key = 0; key < num_keys_; ++key) lse_key[key] += std::log(of_keys.sum[key]);
  }

  // lse, and loss: [B]; with lse_key the mean of both directions, for which query b's positive is key b.
  void finish(const A* lse_key, A* loss) {
    for (int64_t b = 0; b < num_queries_; ++b) {
      lse_[b] += std::log(sum_.template as<A>()[b]);
      const A positive = positive_.template as<A>()[b];
      loss[b] = targets_.count(b) == 0 ? A(0) : lse_[b] - positive;
      if (lse_key) loss[b] = (loss[b] + (lse_key[b] - positive)) / 2;
    }
  }

 private:
  static constexpr bool kDouble = std::is_same_v<A, double>;

  // Queries [row, row + q.rows) against keys [column, column + k.rows): their logits go to s and into `running`.
  void take(A* s, int64_t row, const Matrix& q, int64_t column, const Matrix& k, Running<A> running) {
    matmul(row_major(s, q.rows, k.rows), q, transposed(k), type_);
    for (int64_t r = 0; r < q.rows; ++r) targets_.mask(row + r, column, column + k.rows, s + r * k.rows);
    GK_KERNEL(logits_rows)(kDouble, s, bias_.template as<A>(column), q.rows, k.rows, running.maximum, running.sum);
    for (int64_t r = 0; r < q.rows; ++r) {
      const A share = A(1) / A(targets_.count(row + r));
      targets_.positives(row + r, column, column + k.rows, [&](int64_t key) {
        positive_.template as<A>()[row + r] += share * s[r * k.rows + key - column];
      });
    }
  }

  // What the queries have of one group goes into what they have of all.
  void merge(const Running<A>& group, const Running<A>& all) {
    for (int64_t b = 0; b < num_queries_; ++b) {
      const A top =
          group.maximum[b] > all.maximum[b] || std::isnan(group.maximum[b]) ? group.maximum[b] : all.maximum[b];
      if (top == -A(INFINITY)) continue;
      const auto at_top = [&](const Running<A>& one) {
        return one.maximum[b] == top ? one.sum[b]
               : one.sum[b] == 0     ? A(0)
                                     : one.sum[b] * std::exp(one.maximum[b] - top);
      };
      all.sum[b] = at_top(all) + at_top(group);
      all.maximum[b] = top;
    }
  }

  const ScalarType type_;
  const Operand queries_, keys_;
  const int64_t num_queries_, num_keys_, depth_;
  const Targets& targets_;
  Wide bias_;
  A* lse_;                 // [B], the maximum until finish()
  Buffer sum_, positive_;  // [B] each; the mean of the positives' logits
};

// query: [B, D], key: [K, D], indptr: [B + 1], target: its entries or [B], bias: [K], key_id: [K], scale: [].
// Returns loss [B], lse [B], and lse_key [K], which is [0] unless symmetric.
std::tuple<Tensor, Tensor, Tensor> forward(
    const Tensor& query, const Tensor& key, const std::optional<Tensor>& indptr, const Tensor& target,
    const std::optional<Tensor>& bias, const std::optional<Tensor>& key_id, bool symmetric, const Tensor& scale) {
  const Tensor q = as_contiguous(query), k = as_contiguous(key);
  const std::optional<Tensor> b = as_contiguous(bias);
  const int64_t num_queries = query.size(0), num_keys = key.size(0);
  check_shapes(query, key, bias, indptr, symmetric);
  const Targets targets(indptr, target, key_id, num_queries, num_keys);
  const ScalarType type = accumulate_type(query);
  Tensor loss = allocate({num_queries}, query.scalar_type()), lse = allocate({num_queries}, type);
  Tensor lse_key = allocate({symmetric ? num_keys : 0}, type);
  const auto run = [&](auto tag) {
    using A = typename decltype(tag)::type;
    Buffer wide_loss(num_queries * sizeof(A));
    A* of_keys = symmetric ? static_cast<A*>(lse_key.mutable_data_ptr()) : nullptr;
    Forward<A> pass(q, k, targets, b, scale_of(scale, type), static_cast<A*>(lse.mutable_data_ptr()));
    if (symmetric) {
      pass.rows_and_columns(of_keys);
    } else {
      pass.rows();
    }
    pass.finish(of_keys, wide_loss.as<A>());
    GK_KERNEL(narrow)(value_of(query), wide_loss.raw(), loss.mutable_data_ptr(), num_queries);
  };
  baseline::dispatch_accumulate(type == ScalarType::Double, run);
  return {loss, lse, lse_key};
}

}  // namespace
}  // namespace graphkern::info_nce

STABLE_TORCH_LIBRARY_IMPL(graphkern, CPU, m) { m.impl("info_nce", TORCH_BOX(&graphkern::info_nce::forward)); }
#endif
