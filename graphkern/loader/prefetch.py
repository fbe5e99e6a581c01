"""Results made ahead by threads of this process and handed out in order."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import torch

T = TypeVar("T")

NICENESS = 5  # of the background threads, above that of the caller


def in_order(make: Callable[[int], T], numbers: range, num_threads: int, prefetch: int) -> Generator[T, None, None]:
    """make(n) for each n of numbers, in their order.

    Args:
        make: called in the background, by several threads at once.
        num_threads: how many; 0 calls make here, when the result is asked for.
        prefetch: results that are finished or under way beside the one handed out; at least one a thread.
    Raises: what make raises, with its traceback, in the place of its result. Nothing further is made then.

    Closing the iterator, as leaving a loop and garbage collection do, drops what is not begun and waits for nothing: a
    thread ends when the result it works on is done.
    """
    if num_threads == 0 or not numbers:
        yield from map(make, numbers)
        return
    ahead = max(prefetch, num_threads)
    waiting: deque[Future[T]] = deque()
    started = threading.Barrier(num_threads + 1)
    pool = ThreadPoolExecutor(num_threads, "graphkern-loader")
    try:
        _start(pool, started)
        for number in numbers:
            waiting.append(pool.submit(make, number))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        started.abort()
        pool.shutdown(wait=False, cancel_futures=True)


def _start(pool: ThreadPoolExecutor, started: threading.Barrier) -> None:
    """Start the threads of pool: each keeps to one core and gives way to the caller's.

    started: meets all threads of pool and this one.

    Operators must not start a team of threads in each of them. torch.set_num_threads holds for the calling thread, and
    for those that ask for the number for the first time later, not for those that did. So each thread asks before it
    sets its own, and at last this one sets again what was.

    Where all cores train, a batch that is made at the same priority holds up a team of threads that wait for each
    other; made at a lower one it fills the gaps that training leaves.
    """

    def start() -> None:
        torch.get_num_threads()
        torch.set_num_threads(1)
        if sys.platform == "linux":  # elsewhere it is the niceness of the whole process
            with suppress(OSError):  # a sandbox may forbid it
                os.nice(NICENESS)
        started.wait()

    before = torch.get_num_threads()
    for _ in range(started.parties - 1):
        pool.submit(start)
    started.wait()
    torch.set_num_threads(before)
