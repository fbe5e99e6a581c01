"""Set up before anything imports triton: without a CUDA device its kernels run in the interpreter."""

import gc
import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_collection_finish():
    """What stays to the end, 10,000 tests and the modules, is not to be searched for garbage again and again."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """How many contract tests ran, and on what: before pytest's closing line."""
    passed = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    properties = [dict(report.user_properties) for report in passed]
    contract = [report for report in passed if "test_contract.py" in report.nodeid]
    if contract:
        served = {tag for tag in (own.get("contract") for own in properties) if tag}
        terminalreporter.write_line(f"contract tests: {len(contract)} passed; against the reference:")
        for implementation in sorted({implementation for *_, implementation in served}):
            cases = [tag for tag in served if tag[2] == implementation]
            functions = {function for function, *_ in cases}
            terminalreporter.write_line(f"  {implementation}: {len(functions)} functions, {len(cases)} cases of them")
    for name in ("plain", "asan", "race"):
        ran = [own["on_host"] for own in properties if own.get("on_host", ("",))[0] == name]
        if ran:
            cases, runs = (sum(counts) for counts in zip(*((cases, runs) for _, cases, runs in ran), strict=True))
            terminalreporter.write_line(
                f"  cuda, run on the host ({name} build): {len(ran)} functions, {cases} cases, {runs} runs"
                " over dtypes and schedules"
            )


@pytest.fixture
def one_thread():
    """For tiny tensors: threads would wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
