"""The same batches for a seed: with any number of threads, in another process, after a resume."""

import subprocess
import sys
from itertools import islice

import pytest
import torch

from graphkern.loader import LinkNeighborLoader, NeighborLoader
from tests.loader.worlds import NUM_NODES, ROOT, fingerprint, make_graph

ADJ = make_graph()
X = torch.arange(NUM_NODES * 4.0).reshape(NUM_NODES, 4)


def make(num_threads: int = 0, **options) -> NeighborLoader:
    return NeighborLoader(
        ADJ, [4, 3], x=X, **{"batch_size": 37, "shuffle": True, "seed": 5, "num_threads": num_threads, **options}
    )


@pytest.mark.parametrize("num_threads, prefetch", [(1, 1), (1, 5), (2, 2), (4, 1)])
def test_threads_do_not_change_batches(num_threads, prefetch):
    alone, threaded = make(), make(num_threads, prefetch=prefetch)
    for _ in range(2):
        assert fingerprint(*threaded) == fingerprint(*alone)


def test_another_process_makes_the_same_batches():
    code = "from tests.loader.test_order import make, fingerprint; print(fingerprint(*make(2)))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.split()[-1] == fingerprint(*make())


def test_epochs_and_seeds_differ():
    loader = make()
    first, second = fingerprint(*loader), fingerprint(*loader)
    assert first != second
    assert first != fingerprint(*make(seed=6))
    orders = [torch.cat([batch.input_id for batch in loader]) for _ in range(2)]
    assert not torch.equal(*orders)
    assert torch.equal(orders[0].sort()[0], torch.arange(NUM_NODES))


def test_without_shuffle_the_order_stays_and_draws_differ():
    loader = make(shuffle=False)
    first, second = list(loader), list(loader)
    assert torch.equal(torch.cat([batch.input_id for batch in first]), torch.arange(NUM_NODES))
    assert torch.equal(first[0].input_id, second[0].input_id)
    assert fingerprint(first[0]) != fingerprint(second[0])


@pytest.mark.parametrize("num_threads", [0, 2])
@pytest.mark.parametrize("taken", [0, 1, 4, 9])
def test_resume_gives_the_batches_that_would_have_followed(num_threads, taken):
    whole, cut, resumed = make(), make(num_threads), make(num_threads)
    for loader in (whole, cut):
        list(loader)
    batches = [list(whole), list(whole)]
    iterator = iter(cut)
    assert fingerprint(*islice(iterator, taken)) == fingerprint(*batches[0][:taken])
    resumed.load_state_dict(cut.state_dict())
    assert fingerprint(*resumed) == fingerprint(*batches[0][taken:])
    assert fingerprint(*resumed) == fingerprint(*batches[1])


def test_state_after_an_epoch_is_the_start_of_the_next():
    loader = make()
    assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (0, 0)
    list(loader)
    assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (1, 0)


def test_iter_after_a_break_begins_the_next_epoch():
    whole, broken = make(), make(2)
    list(whole)
    next(iter(broken))
    assert fingerprint(*broken) == fingerprint(*whole)


def test_two_iterators_at_once_are_two_epochs():
    whole, loader = make(), make(1)
    epochs = [list(whole), list(whole)]
    both = list(zip(loader, loader, strict=True))
    assert fingerprint(*(first for first, _ in both)) == fingerprint(*epochs[0])
    assert fingerprint(*(second for _, second in both)) == fingerprint(*epochs[1])
    assert loader.state_dict()["epoch"] == 2


@pytest.mark.parametrize(
    "change",
    [{"seed": 6}, {"batch_size": 36}, {"shuffle": False}, {"seeds": torch.arange(5)}],
    ids=lambda c: next(iter(c)),
)
def test_state_of_another_loader_is_refused(change):
    with pytest.raises(ValueError, match="the state is of a loader with"):
        make(**change).load_state_dict(make().state_dict())


@pytest.mark.parametrize("state", [{"batch": 10}, {"batch": -1}, {"epoch": -1}])
def test_state_out_of_range_is_refused(state):
    with pytest.raises(ValueError, match="in epoch"):
        make().load_state_dict({**make().state_dict(), **state})


def test_progress_bars_know_the_length():
    tqdm = pytest.importorskip("tqdm")
    bar = tqdm.tqdm(make(1), disable=None, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    assert bar.total == len(list(bar)) == 9


def test_link_batches_resume_and_do_not_depend_on_threads():
    loaders = [
        LinkNeighborLoader(ADJ, [3, 2], batch_size=400, shuffle=True, neg_ratio=2, num_threads=threads, seed=9)
        for threads in (0, 2, 1)
    ]
    epochs = [list(loader) for loader in loaders[:2]]
    assert fingerprint(*epochs[0]) == fingerprint(*epochs[1])
    loaders[2].load_state_dict({**loaders[2].state_dict(), "batch": 5})
    assert fingerprint(*loaders[2]) == fingerprint(*epochs[0][5:])
