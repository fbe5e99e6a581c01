"""Each error that a docstring names, raised in Python before a kernel sees the input."""

from __future__ import annotations

import pytest
import torch

import graphkern as gk

ADJ = gk.CSR.from_edge_index(torch.tensor([[0, 1, 2, 0], [1, 2, 0, 0]]), 3, 3)
WIDE = gk.CSR.from_edge_index(torch.tensor([[0, 1, 4], [1, 0, 1]]), 2, 5)
X = torch.randn(3, 4)
HEADS = torch.randn(3, 2, 4)
META = torch.empty(3, 4, device="meta")
SEEDS = torch.tensor([0, 2])
TARGET = torch.tensor([0, 1, 2])

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
    "topk: k": (lambda: gk.topk_scores(X, X, 4), ValueError, r"k must be in \[1, 3\]"),
    "topk: k zero": (lambda: gk.topk_scores(X, X, 0), ValueError, "k must be in"),
    "topk: depth": (lambda: gk.topk_scores(X, X[:, :3], 1), ValueError, "query must be"),
    "topk: exclude": (lambda: gk.topk_scores(X, X, 1, exclude=WIDE), ValueError, "exclude must be 3 x 3"),
    "topk: exclude type": (lambda: gk.topk_scores(X, X, 1, exclude=X), TypeError, "graphkern.CSR"),
    "use: unknown": (lambda: gk.use("gpu").__enter__(), ValueError, "unknown implementation"),
    "use: unknown op": (lambda: gk.use("reference", "spmv").__enter__(), ValueError, "unknown ops"),
    "use: cannot": (lambda: gk.use("triton", "sample_neighbors").__enter__(), NotImplementedError, "no Triton kernel"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_raises_what_the_docstring_says(name):
    call, error, message = CASES[name]
    with pytest.raises(error, match=message):
        call()
