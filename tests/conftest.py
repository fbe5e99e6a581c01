"""Set up before anything imports triton: without a CUDA device its kernels run in the interpreter."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_terminal_summary(terminalreporter):
    """How many contract tests ran, and on what: before pytest's closing line."""
    passed = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    contract = [report for report in passed if "test_contract.py" in report.nodeid]
    if not contract:
        return
    tags = [dict(report.user_properties).get("contract") for report in contract]
    served = {tag for tag in tags if tag}
    implementations = sorted({implementation for _, implementation in served})
    functions = sorted({function for function, _ in served})
    terminalreporter.write_line(
        f"contract tests: {len(contract)} passed, over {len(functions)} functions ({', '.join(functions)})"
        f" x implementations ({', '.join(implementations)})"
    )


@pytest.fixture
def one_thread():
    """For tiny tensors: threads would wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
