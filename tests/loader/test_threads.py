"""Threads: how far they run ahead, what they leave alone, and that they end."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import pytest
import torch

from graphkern.loader import NeighborLoader
from graphkern.loader.prefetch import NICENESS, in_order
from tests.loader.worlds import ROOT, loader_threads, make_graph, threads_end

ADJ = make_graph()


def make(num_threads: int = 2, **options) -> NeighborLoader:
    return NeighborLoader(ADJ, [3, 2], batch_size=10, num_threads=num_threads, **options)


@pytest.mark.parametrize("num_threads, prefetch", [(1, 1), (1, 4), (3, 2)])
def test_threads_run_ahead_by_prefetch_and_no_further(num_threads, prefetch):
    made = []
    results = in_order(lambda n: made.append(n) or n, range(100), num_threads, prefetch)
    for taken in range(1, 4):
        assert next(results) == taken - 1
        limit = time.monotonic() + 10
        while len(made) < taken + max(num_threads, prefetch) and time.monotonic() < limit:
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(made) == taken + max(num_threads, prefetch)
    results.close()
    assert threads_end()


def test_results_come_in_order_though_made_out_of_order():
    def make(n: int) -> int:
        time.sleep(0.02 * (n % 3 == 0))
        return n

    assert list(in_order(make, range(20), 4, 8)) == list(range(20))


def test_without_threads_nothing_runs_ahead():
    made = []
    results = in_order(lambda n: made.append(threading.current_thread()) or n, range(9), 0, 2)
    next(results)
    assert made == [threading.current_thread()]


@pytest.mark.parametrize("num_threads", [0, 1, 2])
def test_an_exception_comes_in_its_place_with_its_traceback(num_threads):
    def break_down(n: int) -> int:
        if n == 3:
            raise ZeroDivisionError("batch 3")
        return n

    results = in_order(break_down, range(100), num_threads, 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError, match="batch 3") as caught:
        next(results)
    assert "break_down" in [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert next(results, "closed") == "closed"
    assert threads_end()


def test_an_exception_in_a_batch_reaches_the_loop_and_ends_the_threads():
    loader = make(x=torch.zeros(ADJ.num_rows, 2))
    loader.x = loader.x[:5]  # node 5 and those after it have no features
    with pytest.raises(Exception, match=r"out of (range|bounds)"):
        for _ in loader:
            pass
    assert threads_end()


def test_threads_end_with_the_epoch():
    assert len(list(make())) == len(make())
    assert threads_end()


def test_threads_end_after_a_break():
    for _ in make():
        assert loader_threads()
        break
    assert threads_end()


def test_threads_end_when_the_iterator_is_garbage():
    cycle = [iter(make())]
    next(cycle[0])
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert threads_end()


def test_threads_end_when_the_loop_raises():
    def loop() -> None:
        for _ in make():
            raise KeyError("loop")

    with pytest.raises(KeyError):
        loop()
    gc.collect()
    assert threads_end()


SCRIPT = """
import signal, sys, torch
from graphkern.loader import NeighborLoader
from tests.loader.worlds import make_graph
loader = NeighborLoader(make_graph(), [3, 2], batch_size=1, num_threads=2, prefetch=8)
make = loader._make
def slow(items, seed):
    torch.randn(200, 200).sum()
    return make(items, seed)
loader._make = slow
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored
while True:
    for batch in loader:
        print("ready", flush=True)
        {body}
"""


@pytest.mark.parametrize("body, code", [("pass", -signal.SIGINT), ("sys.exit(7)", 7)], ids=["ctrl-c", "exit"])
def test_a_process_ends_soon_in_the_middle_of_an_epoch(body, code):
    command, pipe = [sys.executable, "-c", SCRIPT.format(body=body)], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        if code < 0:
            process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == code
    assert ("KeyboardInterrupt" in errors) == (code < 0)


def test_background_threads_use_one_core_and_leave_others_alone():
    mine, inside = torch.get_num_threads(), []
    results = in_order(lambda n: inside.append(torch.get_num_threads()), range(4), 2, 2)
    next(results)
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    list(results)
    assert set(inside) == {1}
    assert torch.get_num_threads() == mine
    assert later == [mine]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")
def test_background_threads_give_way():
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    mine = niceness()
    assert set(in_order(lambda n: niceness(), range(4), 2, 2)) == {min(mine + NICENESS, 19)}
    assert niceness() == mine
