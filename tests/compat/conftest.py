"""What is enabled in a test is disabled after it."""

import pytest

from graphkern import compat


@pytest.fixture
def enabled():
    """All three packages under their real import names."""
    with compat.enable():
        yield


@pytest.fixture
def switch():
    """For tests that enable by themselves."""
    yield compat
    compat.disable()


@pytest.fixture
def pyg():
    return pytest.importorskip("torch_geometric", reason="needs torch_geometric")
