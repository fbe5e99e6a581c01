"""Features of which the hot rows are cached: gather_rows beyond its contract, and loaders that take them."""

import math

import pytest
import torch

import graphkern as gk
from graphkern.loader import CachedFeatures, HeteroNeighborLoader, LinkNeighborLoader, NeighborLoader
from tests.loader.test_mmap import mapped
from tests.loader.worlds import ITEM_USER, NUM_NODES, USER_ITEM, fingerprint, make_graph, make_hetero

X = torch.randn(6, 4)
HOT = X[[3, 0]] + 1
SLOT = torch.tensor([1, -1, -1, 0, -1, -1], dtype=torch.int32)
INDEX = torch.tensor([3, 5, 0, 3])

BAD = {
    "list": (lambda: gk.gather_rows([1.0], INDEX), TypeError, "x must be a Tensor"),
    "0-D": (lambda: gk.gather_rows(torch.tensor(1.0), INDEX), ValueError, "x must have rows"),
    "float index": (lambda: gk.gather_rows(X, INDEX.float()), TypeError, "index must be an int32"),
    "2-D index": (lambda: gk.gather_rows(X, INDEX[None]), ValueError, "index must be 1-D"),
    "large index": (lambda: gk.gather_rows(X, INDEX + 1), ValueError, r"index must be in \[0, 6\)"),
    "negative index": (lambda: gk.gather_rows(X, INDEX - 1, HOT, SLOT), ValueError, r"index must be in \[0, 6\)"),
    "no rows": (lambda: gk.gather_rows(X[:0], INDEX), ValueError, r"index must be in \[0, 0\)"),
    "large slot": (lambda: gk.gather_rows(X, INDEX, HOT[:1], SLOT), ValueError, "slot must be below 1 but has 1"),
    "hot alone": (lambda: gk.gather_rows(X, INDEX, HOT), TypeError, "hot and slot must be two Tensors"),
    "slot alone": (lambda: gk.gather_rows(X, INDEX, None, SLOT), TypeError, "hot and slot must be two Tensors"),
    "dtype of hot": (lambda: gk.gather_rows(X, INDEX, HOT.half(), SLOT), TypeError, "hot is torch.float16"),
    "width of hot": (lambda: gk.gather_rows(X, INDEX, HOT[:, :3], SLOT), ValueError, "hot must be"),
    "dtype of slot": (lambda: gk.gather_rows(X, INDEX, HOT, SLOT.long()), TypeError, "slot must be int32"),
    "size of slot": (lambda: gk.gather_rows(X, INDEX, HOT, SLOT[:5]), ValueError, r"slot must be \[6\]"),
    "device of x": (lambda: gk.gather_rows(X.to("meta"), INDEX), ValueError, "x is on meta"),
    "device of hot": (lambda: gk.gather_rows(X, INDEX, HOT.to("meta"), SLOT), ValueError, "hot is on meta"),
    "cached list": (lambda: CachedFeatures([1.0], 0), TypeError, "x must be a Tensor"),
    "cached 0-D": (lambda: CachedFeatures(torch.tensor(1.0), 0), ValueError, "x must have rows"),
    "too many hot rows": (lambda: CachedFeatures(X, 7), ValueError, r"num_hot must be in \[0, 6\] but is 7"),
    "size of score": (lambda: CachedFeatures(X, 2, torch.ones(5)), ValueError, r"score must be \[6\]"),
    "x elsewhere": (lambda: CachedFeatures(X.to("meta"), 2, device="cpu"), ValueError, "x is on meta"),
    "index of features": (lambda: CachedFeatures(X, 2)[INDEX + 1], ValueError, "index must be in"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()


def test_there_is_no_gradient():
    x = X.clone().requires_grad_()
    with pytest.raises(NotImplementedError, match="no gradient formula"):
        gk.gather_rows(x, INDEX, HOT, SLOT).sum().backward()


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int16, torch.int64, torch.complex64, torch.float8_e4m3fn]
)
def test_rows_are_bytes_of_any_dtype(dtype):
    x, hot = X.mul(50).to(dtype), HOT.mul(50).to(dtype)
    out = gk.gather_rows(x, INDEX, hot, SLOT)
    assert out.dtype == dtype
    expected = torch.stack([hot[0], x[5], hot[1], hot[0]])
    assert torch.equal(out.view(torch.uint8), expected.view(torch.uint8))


def test_addresses_beyond_2_to_the_31():
    """x has more than 2^31 elements; only the rows that are read take memory."""
    rows, features = 2**31 // 64 + 1000, 64
    x = torch.empty(rows, features, dtype=torch.int8)
    last = torch.arange(rows - 3, rows)
    x[last] = torch.arange(1, 4, dtype=torch.int8)[:, None].expand(3, features)
    assert gk.gather_rows(x, last.flip(0))[:, 0].tolist() == [3, 2, 1]


@pytest.mark.parametrize("score", [None, torch.tensor([1, 5, 3, 5, 0, 3])])
@pytest.mark.parametrize("num_hot", [0, 3, 6])
def test_features_are_those_of_x_cached_or_not(score, num_hot):
    x = X.clone()
    features = CachedFeatures(x, num_hot, score)
    assert torch.equal(features[INDEX], X[INDEX])
    assert (features.shape, features.dtype, len(features)) == (X.shape, X.dtype, 6)
    x.zero_()
    order = [0, 1, 2, 3, 4, 5] if score is None else [1, 3, 2, 5, 0, 4]
    hot = order[:num_hot]
    kept = features[torch.arange(6)]
    assert torch.equal(kept[hot], X[hot])
    assert kept[order[num_hot:]].abs().sum() == 0


def test_hit_rate_is_the_share_of_hot_rows():
    features = CachedFeatures(X, 2, torch.tensor([0, 9, 0, 8, 0, 0]))
    assert features.hit_rate(torch.tensor([1, 1, 3, 0])) == 0.75
    assert math.isnan(features.hit_rate(INDEX[:0]))


@pytest.mark.parametrize("loader", [NeighborLoader, LinkNeighborLoader])
@pytest.mark.parametrize("num_threads", [0, 2])
def test_loaders_give_the_batches_that_x_gives(tmp_path, loader, num_threads):
    adj, x = make_graph(), torch.randn(NUM_NODES, 8)
    features = CachedFeatures(mapped(tmp_path / "x.npy", x), 50, adj.t().degree())
    options = {"batch_size": 50, "shuffle": True, "num_threads": num_threads}
    assert fingerprint(*loader(adj, [4, 3], x=features, **options)) == fingerprint(*loader(adj, [4, 3], x=x, **options))


def test_hetero_loaders_take_them():
    adjs = {key: adj for key, adj in make_hetero().items() if key in (USER_ITEM, ITEM_USER)}
    x = {"user": torch.randn(40, 5), "item": torch.randn(60, 3)}
    cached = x | {"item": CachedFeatures(x["item"], 20)}
    for batch in HeteroNeighborLoader(adjs, [3, 3], "user", x=cached, batch_size=16):
        for kind, rows in batch.x.items():
            assert torch.equal(rows, x[kind][batch.nodes[kind].long()])


def test_loaders_refuse_features_of_other_nodes():
    with pytest.raises(ValueError, match="x must have a row for each of 300 nodes"):
        NeighborLoader(make_graph(), [2], x=CachedFeatures(X, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_device_reads_rows_in_page_locked_memory():
    x = torch.randn(1000, 100)
    features = CachedFeatures(x, 100, device="cuda")
    index = torch.randint(1000, (5000,))
    assert features[index].is_cuda
    assert torch.equal(features[index].cpu(), x[index])
    assert torch.equal(gk.gather_rows(x.pin_memory(), index.cuda()).cpu(), x[index])
    with pytest.raises(ValueError, match="not page-locked"):
        gk.gather_rows(x, index.cuda())
