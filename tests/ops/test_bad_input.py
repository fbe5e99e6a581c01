"""Each error that a docstring names, raised in Python before a kernel sees the input."""

from __future__ import annotations

import pytest
import torch

import graphkern as gk

ADJ = gk.CSR.from_edge_index(torch.tensor([[0, 1, 2, 0], [1, 2, 0, 0]]), 3, 3)
WIDE = gk.CSR.from_edge_index(torch.tensor([[0, 1, 4], [1, 0, 1]]), 2, 5)
FULL = gk.CSR.from_edge_index(torch.tensor([[0, 1, 0, 1], [0, 2, 2, 2]]), 3, 2)
X = torch.randn(3, 4)
HEADS = torch.randn(3, 2, 4)
META = torch.empty(3, 4, device="meta")
SEEDS = torch.tensor([0, 2])
TARGET = torch.tensor([0, 1, 2])
SCORES = torch.randn(3, 2)
INDPTR = torch.tensor([0, 2, 3])
WEIGHT = torch.randn(2, 4, 5)

CASES = {
    "spmm: not a CSR": (lambda: gk.spmm(X, X), TypeError, "adj must be a graphkern.CSR"),
    "spmm: integer x": (lambda: gk.spmm(ADJ, X.long()), TypeError, "x must be float32"),
    "spmm: x of a list": (lambda: gk.spmm(ADJ, [1.0]), TypeError, "x must be a Tensor"),
    "spmm: rows of x": (lambda: gk.spmm(ADJ, X[:2]), ValueError, r"x must be \[3, F\]"),
    "spmm: 1-D x": (lambda: gk.spmm(ADJ, X[:, 0]), ValueError, r"x must be \[3, F\]"),
    "spmm: rows of weight": (
        lambda: gk.spmm(ADJ, X, torch.ones(3)),
        ValueError,
        "weight has 3 rows but adj has 4 edges",
    ),
    "spmm: heads without x": (lambda: gk.spmm(ADJ, X, torch.ones(4, 2)), ValueError, "needs x of"),
    "spmm: other heads": (lambda: gk.spmm(ADJ, HEADS, torch.ones(4, 3)), ValueError, "needs x of"),
    "spmm: 0-d weight": (lambda: gk.spmm(ADJ, X, torch.tensor(1.0)), ValueError, "weight has no rows"),
    "spmm: mixed dtypes": (lambda: gk.spmm(ADJ, X, torch.ones(4).double()), TypeError, "weight is torch.float64"),
    "spmm: reduce": (lambda: gk.spmm(ADJ, X, reduce="prod"), ValueError, "reduce must be one of"),
    "spmm: device": (lambda: gk.spmm(ADJ, META), ValueError, "x is on meta but adj is on cpu"),
    "sddmm: rows of q": (lambda: gk.sddmm(WIDE, X, X), ValueError, r"q must be \[2, F\]"),
    "sddmm: shape of k": (lambda: gk.sddmm(ADJ, X, X[:, :2]), ValueError, r"k must be \[3, 4\]"),
    "sddmm: no features": (lambda: gk.sddmm(ADJ, X[:, :0], X[:, :0]), ValueError, "at least one feature"),
    "sddmm: dtype": (lambda: gk.sddmm(ADJ, X, X.half()), TypeError, "k is torch.float16"),
    "sample: not square": (lambda: gk.sample_neighbors(WIDE, SEEDS, [2]), ValueError, "must be square"),
    "sample: float seeds": (lambda: gk.sample_neighbors(ADJ, SEEDS.float(), [2]), TypeError, "seeds must be an int32"),
    "sample: seed too large": (
        lambda: gk.sample_neighbors(ADJ, SEEDS + 1, [2]),
        ValueError,
        r"seeds must be in \[0, 3\)",
    ),
    "sample: negative seed": (lambda: gk.sample_neighbors(ADJ, SEEDS - 1, [2]), ValueError, "seeds must be in"),
    "sample: 2-D seeds": (lambda: gk.sample_neighbors(ADJ, SEEDS[None], [2]), ValueError, "seeds must be 1-D"),
    "sample: fanout": (lambda: gk.sample_neighbors(ADJ, SEEDS, [2, -2]), ValueError, "fanouts"),
    "sample: no fanouts": (lambda: gk.sample_neighbors(ADJ, SEEDS, []), ValueError, "fanouts"),
    "sample: wide seed": (lambda: gk.sample_neighbors(ADJ, SEEDS, [1], seed=2**63), ValueError, "seed must fit int64"),
    "walk: not a CSR": (lambda: gk.random_walk(X, SEEDS, 3), TypeError, "adj must be a graphkern.CSR"),
    "walk: not square": (lambda: gk.random_walk(WIDE, SEEDS, 3), ValueError, "must be square"),
    "walk: float start": (lambda: gk.random_walk(ADJ, SEEDS.float(), 3), TypeError, "start must be an int32"),
    "walk: start too large": (lambda: gk.random_walk(ADJ, SEEDS + 1, 3), ValueError, r"start must be in \[0, 3\)"),
    "walk: negative start": (lambda: gk.random_walk(ADJ, SEEDS - 1, 3), ValueError, "start must be in"),
    "walk: 2-D start": (lambda: gk.random_walk(ADJ, SEEDS[None], 3), ValueError, "start must be 1-D"),
    "walk: device": (lambda: gk.random_walk(ADJ, SEEDS.to("meta"), 3), ValueError, "start is on meta"),
    "walk: length": (lambda: gk.random_walk(ADJ, SEEDS, -1), ValueError, "length must not be negative"),
    "walk: p zero": (lambda: gk.random_walk(ADJ, SEEDS, 3, p=0.0), ValueError, "p must be positive and finite"),
    "walk: p tiny": (lambda: gk.random_walk(ADJ, SEEDS, 3, p=1e-310), ValueError, "p must be positive and finite"),
    "walk: q negative": (lambda: gk.random_walk(ADJ, SEEDS, 3, q=-1), ValueError, "q must be positive and finite"),
    "walk: q NaN": (lambda: gk.random_walk(ADJ, SEEDS, 3, q=float("nan")), ValueError, "q must be positive and finite"),
    "walk: q infinite": (lambda: gk.random_walk(ADJ, SEEDS, 3, q=float("inf")), ValueError, "q must be positive"),
    "walk: wide seed": (lambda: gk.random_walk(ADJ, SEEDS, 3, seed=2**63), ValueError, "seed must fit int64"),
    "induced: not a CSR": (lambda: gk.induced_subgraph(X, SEEDS), TypeError, "adj must be a graphkern.CSR"),
    "induced: not square": (lambda: gk.induced_subgraph(WIDE, SEEDS), ValueError, "must be square"),
    "induced: float nodes": (lambda: gk.induced_subgraph(ADJ, SEEDS.float()), TypeError, "nodes must be an int32"),
    "induced: too large": (lambda: gk.induced_subgraph(ADJ, SEEDS + 1), ValueError, r"nodes must be in \[0, 3\)"),
    "induced: negative": (lambda: gk.induced_subgraph(ADJ, SEEDS - 1), ValueError, "nodes must be in"),
    "induced: 2-D nodes": (lambda: gk.induced_subgraph(ADJ, SEEDS[None]), ValueError, "nodes must be 1-D"),
    "induced: repeated": (lambda: gk.induced_subgraph(ADJ, SEEDS[[1, 0, 1]]), ValueError, "node 2 does"),
    "negatives: not a CSR": (lambda: gk.sample_negatives(X, SEEDS, 2), TypeError, "adj must be a graphkern.CSR"),
    "negatives: float rows": (lambda: gk.sample_negatives(ADJ, SEEDS.float(), 2), TypeError, "rows must be an int32"),
    "negatives: too large": (lambda: gk.sample_negatives(ADJ, SEEDS + 1, 2), ValueError, r"rows must be in \[0, 3\)"),
    "negatives: negative": (lambda: gk.sample_negatives(ADJ, SEEDS - 1, 2), ValueError, "rows must be in"),
    "negatives: 2-D rows": (lambda: gk.sample_negatives(ADJ, SEEDS[None], 2), ValueError, "rows must be 1-D"),
    "negatives: num": (lambda: gk.sample_negatives(ADJ, SEEDS, -1), ValueError, "num must not be negative"),
    "negatives: full row": (lambda: gk.sample_negatives(FULL, SEEDS, 2), ValueError, "row 2 has every column"),
    "negatives: wide seed": (lambda: gk.sample_negatives(ADJ, SEEDS, 2, seed=2**63), ValueError, "seed must fit int64"),
    "negatives: columns": (
        lambda: gk.sample_negatives(gk.CSR(INDPTR, INDPTR, 2**32), TARGET[:1], 2),
        ValueError,
        "fewer than 2\\^32 columns",
    ),
    "info_nce: dtype": (lambda: gk.info_nce(X, X.double()), TypeError, "key is torch.float64"),
    "info_nce: depth": (lambda: gk.info_nce(X, X[:, :2]), ValueError, r"key must be \[K, 4\]"),
    "info_nce: no keys": (lambda: gk.info_nce(X, X[:0]), ValueError, "K >= 1"),
    "info_nce: 1-D query": (lambda: gk.info_nce(X[0], X), ValueError, r"query must be \[B, D\]"),
    "info_nce: diagonal": (lambda: gk.info_nce(X, X[:2]), ValueError, "each query needs its own key"),
    "info_nce: target range": (lambda: gk.info_nce(X, X, TARGET + 1), ValueError, r"target must be in \[0, 3\)"),
    "info_nce: target size": (lambda: gk.info_nce(X, X, TARGET[:2]), ValueError, r"target must be \[3\]"),
    "info_nce: target dtype": (lambda: gk.info_nce(X, X, TARGET.float()), TypeError, "target must be an int32"),
    "info_nce: bias": (lambda: gk.info_nce(X, X, bias=torch.ones(2)), ValueError, r"bias must be \[3\]"),
    "info_nce: temperature": (lambda: gk.info_nce(X, X, temperature=0.0), ValueError, "temperature must be positive"),
    "info_nce: temperature tensor": (
        lambda: gk.info_nce(X, X, None, torch.tensor(-1.0)),
        ValueError,
        "must be positive",
    ),
    "info_nce: temperature NaN": (lambda: gk.info_nce(X, X, None, float("nan")), ValueError, "must be positive"),
    "info_nce: positives": (lambda: gk.info_nce(X, X, WIDE), ValueError, "target must be 3 x 3"),
    "info_nce: id shape": (lambda: gk.info_nce(X, X, key_id=TARGET[:2]), ValueError, r"key_id must be \[3\]"),
    "info_nce: id dtype": (lambda: gk.info_nce(X, X, key_id=X[:, 0]), TypeError, "key_id must be an int32"),
    "info_nce: symmetric target": (lambda: gk.info_nce(X, X, TARGET, symmetric=True), ValueError, "must be None"),
    "info_nce: symmetric shape": (lambda: gk.info_nce(X[:2], X, symmetric=True), ValueError, "B = K"),
    "topk: k": (lambda: gk.topk_scores(X, X, 4), ValueError, r"k must be in \[1, 3\]"),
    "topk: k zero": (lambda: gk.topk_scores(X, X, 0), ValueError, "k must be in"),
    "topk: depth": (lambda: gk.topk_scores(X, X[:, :3], 1), ValueError, "query must be"),
    "topk: exclude": (lambda: gk.topk_scores(X, X, 1, exclude=WIDE), ValueError, "exclude must be 3 x 3"),
    "topk: exclude type": (lambda: gk.topk_scores(X, X, 1, exclude=X), TypeError, "graphkern.CSR"),
    "segment_reduce: integer": (lambda: gk.segment_reduce(X.long(), INDPTR), TypeError, "src must be float32"),
    "segment_reduce: dim": (lambda: gk.segment_reduce(X, INDPTR, dim=2), ValueError, r"dim must be in \[-2, 2\)"),
    "segment_reduce: 0-d": (lambda: gk.segment_reduce(X[0, 0], INDPTR), ValueError, "dim must be in"),
    "segment_reduce: reduce": (lambda: gk.segment_reduce(X, INDPTR, "prod"), ValueError, "reduce must be one of"),
    "segment_reduce: indptr dtype": (
        lambda: gk.segment_reduce(X, INDPTR.float()),
        TypeError,
        "indptr must be an int32",
    ),
    "segment_reduce: 2-D indptr": (
        lambda: gk.segment_reduce(X, INDPTR[None]),
        ValueError,
        r"indptr must be \[S \+ 1\]",
    ),
    "segment_reduce: no indptr": (lambda: gk.segment_reduce(X, INDPTR[:0]), ValueError, r"indptr must be \[S \+ 1\]"),
    "segment_reduce: descends": (lambda: gk.segment_reduce(X, INDPTR.flip(0)), ValueError, "never decrease"),
    "segment_reduce: too long": (lambda: gk.segment_reduce(X, INDPTR + 1, "max"), ValueError, r"stay in \[0, 3\]"),
    "segment_reduce: negative": (lambda: gk.segment_reduce(X, INDPTR - 1), ValueError, r"stay in \[0, 3\]"),
    "segment_reduce: device": (lambda: gk.segment_reduce(META, INDPTR), ValueError, "indptr is on cpu"),
    "gather_csr: segments": (lambda: gk.gather_csr(X, INDPTR), ValueError, r"indptr must be \[4\]"),
    "gather_csr: descends": (lambda: gk.gather_csr(X[:2], INDPTR.flip(0)), ValueError, "never decrease"),
    "gather_csr: too short": (lambda: gk.gather_csr(X[:2], INDPTR, 0, 2), ValueError, r"stay in \[0, 2\]"),
    "gather_csr: negative": (lambda: gk.gather_csr(X[:2], INDPTR - 5), ValueError, "cannot have -2 entries"),
    "scatter_reduce: too large": (lambda: gk.scatter_reduce(X, TARGET, 2), ValueError, r"index must be in \[0, 2\)"),
    "scatter_reduce: negative": (lambda: gk.scatter_reduce(X, TARGET - 1, 3, "max"), ValueError, r"from -1 to 1"),
    "scatter_reduce: sorted": (
        lambda: gk.scatter_reduce(torch.ones(3000, 64), torch.arange(3000), 2999, "max"),
        ValueError,
        r"index must be in \[0, 2999\)",
    ),
    "scatter_reduce: full index": (
        lambda: gk.scatter_reduce(X, TARGET[:, None].repeat(1, 4) - 1, 3),
        ValueError,
        "index must be in",
    ),
    "scatter_reduce: no rows": (lambda: gk.scatter_reduce(X, TARGET, 0), ValueError, r"index must be in \[0, 0\)"),
    "scatter_reduce: dim_size": (lambda: gk.scatter_reduce(X, TARGET, -1), ValueError, "dim_size must not be negative"),
    "scatter_reduce: index size": (lambda: gk.scatter_reduce(X, TARGET[:2], 3), ValueError, "does not broadcast"),
    "scatter_reduce: index axes": (lambda: gk.scatter_reduce(X, TARGET[None, None], 3), ValueError, "not broadcast"),
    "scatter_reduce: index dtype": (
        lambda: gk.scatter_reduce(X, TARGET.float(), 3),
        TypeError,
        "index must be an int32",
    ),
    "scatter_reduce: reduce": (lambda: gk.scatter_reduce(X, TARGET, 3, "mul"), ValueError, "reduce must be one of"),
    "scatter_reduce: out": (lambda: gk.scatter_reduce(X, TARGET, out=torch.ones(3, 5)), ValueError, "does not fit src"),
    "scatter_reduce: out size": (lambda: gk.scatter_reduce(X, TARGET, 4, out=torch.ones(3, 4)), ValueError, "not fit"),
    "scatter_reduce: out dtype": (
        lambda: gk.scatter_reduce(X, TARGET, out=torch.ones(3, 4).double()),
        TypeError,
        "out is torch.float64",
    ),
    "segment_matmul: 1-D x": (lambda: gk.segment_matmul(X[0], INDPTR, WEIGHT), ValueError, r"x must be \[L, F_in\]"),
    "segment_matmul: depth": (
        lambda: gk.segment_matmul(X[:, :2], INDPTR, WEIGHT),
        ValueError,
        r"weight must be \[S, 2",
    ),
    "segment_matmul: dtype": (
        lambda: gk.segment_matmul(X, INDPTR, WEIGHT.half()),
        TypeError,
        "weight is torch.float16",
    ),
    "segment_matmul: segments": (lambda: gk.segment_matmul(X, INDPTR[:2], WEIGHT), ValueError, r"indptr must be \[3\]"),
    "segment_matmul: not all": (
        lambda: gk.segment_matmul(X, INDPTR.clamp(max=2), WEIGHT),
        ValueError,
        "run from 0 to 3 but runs from 0 to 2",
    ),
    "edge_softmax: not a CSR": (lambda: gk.edge_softmax(X, X), TypeError, "adj must be a graphkern.CSR"),
    "edge_softmax: integer": (lambda: gk.edge_softmax(ADJ, torch.ones(4).long()), TypeError, "score must be float32"),
    "edge_softmax: edges": (lambda: gk.edge_softmax(ADJ, X), ValueError, r"score must be \[4\] or \[4, H\]"),
    "edge_softmax: 3-D": (lambda: gk.edge_softmax(ADJ, torch.ones(4, 1, 1)), ValueError, "score must be"),
    "edge_softmax: device": (lambda: gk.edge_softmax(ADJ, META[:, 0]), ValueError, "score is on meta"),
    "gat: not a CSR": (lambda: gk.gat_aggregate(X, HEADS, SCORES, SCORES), TypeError, "graphkern.CSR"),
    "gat: integer x": (lambda: gk.gat_aggregate(ADJ, HEADS.long(), SCORES, SCORES), TypeError, "x must be float32"),
    "gat: mixed dtypes": (lambda: gk.gat_aggregate(ADJ, HEADS, SCORES.half(), SCORES), TypeError, "alpha_src is"),
    "gat: 2-D x": (lambda: gk.gat_aggregate(ADJ, X, SCORES, SCORES), ValueError, r"x must be \[rows, H, D\]"),
    "gat: no features": (lambda: gk.gat_aggregate(ADJ, HEADS[:, :, :0], SCORES, SCORES), ValueError, "one feature"),
    "gat: rows of x": (lambda: gk.gat_aggregate(WIDE, HEADS, SCORES, SCORES), ValueError, r"x must be \[5, 2, 4\]"),
    "gat: alpha_src": (lambda: gk.gat_aggregate(ADJ, HEADS, X, SCORES), ValueError, r"alpha_src must be \[3, 2\]"),
    "gat: alpha_dst": (lambda: gk.gat_aggregate(ADJ, HEADS, SCORES, X), ValueError, r"alpha_dst must be \[3, 2\]"),
    "gat: alpha_edge": (
        lambda: gk.gat_aggregate(ADJ, HEADS, SCORES, SCORES, alpha_edge=SCORES),
        ValueError,
        r"alpha_edge must be \[4, 2\]",
    ),
    "gat: device": (lambda: gk.gat_aggregate(ADJ, HEADS, META, SCORES), ValueError, "alpha_src is on meta"),
    "gat: dropout 1": (
        lambda: gk.gat_aggregate(ADJ, HEADS, SCORES, SCORES, dropout_p=1.0),
        ValueError,
        r"dropout_p must be in \[0, 1\)",
    ),
    "gat: dropout NaN": (
        lambda: gk.gat_aggregate(ADJ, HEADS, SCORES, SCORES, dropout_p=float("nan")),
        ValueError,
        "dropout_p must be in",
    ),
    "gat: wide seed": (
        lambda: gk.gat_aggregate(ADJ, HEADS, SCORES, SCORES, seed=-(2**63) - 1),
        ValueError,
        "seed must fit int64",
    ),
    "gatv2: mixed dtypes": (lambda: gk.gatv2_aggregate(ADJ, HEADS, HEADS.double(), HEADS[0]), TypeError, "x_dst is"),
    "gatv2: x_src": (lambda: gk.gatv2_aggregate(WIDE, HEADS, HEADS[:2], HEADS[0]), ValueError, r"x_src must be \[5"),
    "gatv2: x_dst": (lambda: gk.gatv2_aggregate(ADJ, HEADS, HEADS[:2], HEADS[0]), ValueError, r"x_dst must be \[3"),
    "gatv2: att": (lambda: gk.gatv2_aggregate(ADJ, HEADS, HEADS, HEADS), ValueError, r"att must be \[2, 4\]"),
    "gatv2: dropout": (
        lambda: gk.gatv2_aggregate(ADJ, HEADS, HEADS, HEADS[0], dropout_p=-0.1),
        ValueError,
        "dropout_p must be in",
    ),
    "gatv2: wide seed": (
        lambda: gk.gatv2_aggregate(ADJ, HEADS, HEADS, HEADS[0], seed=2**63),
        ValueError,
        "seed must fit int64",
    ),
    "attention: integer": (lambda: gk.attention_aggregate(ADJ, HEADS, HEADS, HEADS.int()), TypeError, "v must be"),
    "attention: q": (lambda: gk.attention_aggregate(WIDE, HEADS, HEADS, HEADS), ValueError, r"q must be \[2, 2, 4\]"),
    "attention: k": (lambda: gk.attention_aggregate(ADJ, HEADS, HEADS[:2], HEADS), ValueError, r"k must be \[3, 2, 4"),
    "attention: v": (lambda: gk.attention_aggregate(ADJ, HEADS, HEADS, HEADS[..., :2]), ValueError, r"v must be \[3"),
    "attention: dropout": (
        lambda: gk.attention_aggregate(ADJ, HEADS, HEADS, HEADS, dropout_p=1.5),
        ValueError,
        "dropout_p must be in",
    ),
    "attention: wide seed": (
        lambda: gk.attention_aggregate(ADJ, HEADS, HEADS, HEADS, seed=2**63),
        ValueError,
        "seed must fit int64",
    ),
    "use: unknown": (lambda: gk.use("gpu").__enter__(), ValueError, "unknown implementation"),
    "use: unknown op": (lambda: gk.use("reference", "spmv").__enter__(), ValueError, "unknown ops"),
    "use: cannot": (lambda: gk.use("triton", "sample_neighbors").__enter__(), NotImplementedError, "no Triton kernel"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_raises_what_the_docstring_says(name):
    call, error, message = CASES[name]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("segment_reduce", "gather_csr"))])
def test_the_references_refuse_the_same(name):
    """They serve where no compiler built the kernels."""
    with gk.use("reference", "segment_reduce", "segment_extremum", "gather_csr"):
        test_bad_input_raises_what_the_docstring_says(name)
