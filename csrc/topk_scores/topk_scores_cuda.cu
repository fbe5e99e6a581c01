#include "../common/cuda.h"
#include "topk_scores_kernels.cuh"

namespace {

using namespace graphkern::cuda;

// vector: how many values are read together.
Matrix matrix(Call& call, const Tensor& t, int64_t vector) {
  const bool divides = t.size(1) % vector == 0;
  const auto made = [&](const auto* values, Kind kind) { return Matrix{values, kind, divides && is_aligned(values)}; };
  switch (t.scalar_type()) {
    case ScalarType::Float:
      return made(call.read<float>(t), Kind::f32);
    case ScalarType::Double:
      return made(call.read<double>(t), Kind::f64);
    case ScalarType::Half:
      return made(call.read<Half>(t), Kind::f16);
    case ScalarType::BFloat16:
      return made(call.read<BFloat16>(t), Kind::bf16);
    case ScalarType::Char:
      return made(call.read<int8_t>(t), Kind::i8);
    default:
      STD_TORCH_CHECK(false, "expected float32, float64, float16, bfloat16 or int8");
  }
}

// query: [B, D], item: [N, D], indptr: [B + 1], indices: excluded columns, mask, scale: [N]. Returns [B, k] twice.
std::tuple<Tensor, Tensor> topk_scores_cuda(
    Tensor query, Tensor item, int64_t k, std::optional<Tensor> indptr, std::optional<Tensor> indices,
    std::optional<Tensor> mask, std::optional<Tensor> scale) {
  Call call(query);
  const bool is_double = query.scalar_type() == ScalarType::Double;
  const int64_t num_queries = query.size(0), num_items = item.size(0);
  STD_TORCH_CHECK(1 <= k && k <= num_items, "k must be in [1, ", num_items, "] but is ", k);
  STD_TORCH_CHECK(k < int64_t(1) << 29, "k must be below 2^29 but is ", k);
  STD_TORCH_CHECK(is_double || num_items <= UINT32_MAX, "at most 2^32 - 1 items unless query is float64");
  STD_TORCH_CHECK(is_double || item.scalar_type() != ScalarType::Double, "item is float64 but query is not");
  STD_TORCH_CHECK(indptr.has_value() == indices.has_value(), "indptr and indices go together");
  Tensor values = call.allocate({num_queries, k}, query.scalar_type());
  Tensor columns = call.allocate({num_queries, k}, ScalarType::Long);
  dispatch_value(query, [&](auto t) {
    using T = typename decltype(t)::type;
    using A = Accumulate<T>;
    ScoreArguments<A> arguments{
        matrix(call, query, kWide<A>),
        matrix(call, item, kWide<A>),
        call.read<A>(scale),
        call.read<bool>(mask),
        call.read<void>(indptr),
        call.read<void>(indices),
        indices && indices->scalar_type() == ScalarType::Long,
        num_queries,
        num_items,
        query.size(1),
        int(k)};
    topk_scores(call.stream(), arguments, write<T>(values), write<int64_t>(columns), [&](int64_t bytes) {
      return call.workspace(bytes);
    });
  });
  Call::check_launch();
  return {values, columns};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkern, CUDA, m) { m.impl("topk_scores", TORCH_BOX(&topk_scores_cuda)); }
