"""The record of what tests each op, which `graphkern doctor --ops` shows."""

import json

from .tested import FILE, truth


def test_the_record_is_what_this_checkout_tests():
    assert json.loads(FILE.read_text()) == truth(), "python -m tests.tested writes it anew"


def test_everything_that_is_written_is_tested():
    for op, tests in truth().items():
        assert all(tests.values()), op
        assert {"cpu", "cuda", "triton"} & tests.keys(), f"{op} has its reference only"


def test_every_op_can_run_on_a_gpu():
    assert not [op for op, tests in truth().items() if not {"cuda", "triton"} & tests.keys()]
