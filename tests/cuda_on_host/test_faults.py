"""The played device sees the faults that are planted in faults.cpp, and none where there is none."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from . import build, run

pytestmark = build.NEEDS_COMPILER

ALWAYS = {
    "divergent_barrier": "others wait at",
    "exit_before_barrier": "ends while others wait|but others ended",
    "exit_after_others_wait": "ends while others wait|but others ended",
    "barrier_of_one_warp": "ends while others wait|but others ended",
    "mask_with_ended_lane": "names a lane that ended|waits for it",
    "mask_without_self": "not in its own mask",
    "shuffle_from_outside_the_mask": "not in its mask",
    "two_shuffles": "waits at",
    "shuffle_meets_ballot": "waits at",
    "two_masks": "waits at|names a lane that ended",
    "uneven_rounds": "names a lane that ended|waits for it",
    "misaligned_atomic": "misaligned",
}
ASAN = {
    "write_behind": "heap-buffer-overflow",
    "write_before": "heap-buffer-overflow",
    "read_behind": "heap-buffer-overflow",
    "shared_behind": "heap-buffer-overflow",
    "shared_index": "index out of bounds",
    "dynamic_shared_behind": "heap-buffer-overflow",
    "misaligned_vector": "misaligned",
    "shift_too_far": "shift out of bounds",
    "index_overflow": r"overflow of \*",
    "divide_by_zero": "division by zero",
}
RACE = dict.fromkeys(
    (
        "two_write",
        "same_value",
        "missing_barrier",
        "barrier_of_a_warp_only",
        "shuffle_is_no_barrier",
        "reused_tile",
        "blocks_share",
        "read_beside_atomic",
        "byte_beside_byte",
    ),
    "race: ",
)
PLANTED = {"plain": ALWAYS, "asan": ALWAYS | ASAN, "race": ALWAYS | RACE}

SCRIPT = """
import json, sys
from pathlib import Path
from tests.cuda_on_host.played_device import SCHEDULES, Device
device, said = Device(Path(sys.argv[1])), {}
for schedule in SCHEDULES:
    device.schedule(schedule)
    for name in sys.argv[2:]:
        said.setdefault(name, []).append(device.fault(name))
print(json.dumps(said))
"""


@pytest.mark.parametrize("name", list(build.BUILDS))
def test_planted_faults_are_seen(name: str, after_host_runs: None) -> None:
    library = run.prepare(name, library=build.FAULTS)
    command = [sys.executable, "-c", SCRIPT, str(library), *PLANTED[name], "sound"]
    done = subprocess.run(command, env=build.environment(name), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said.pop("sound") == [None, None, None]
    for fault, pattern in PLANTED[name].items():
        assert all(message is not None and re.search(pattern, message) for message in said[fault]), (fault, said[fault])
