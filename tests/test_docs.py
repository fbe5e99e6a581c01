"""The examples in the documents run, and lines that are said to replace each other give the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"


def test_drop_in_examples_run(capsys):
    pytest.importorskip("torch_geometric", reason="the examples use PyG: pip install torch_geometric==2.8.*")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "dropin.md").read_text(), re.DOTALL)
    namespace: dict = {}
    for block in blocks[:-1]:
        exec(block, namespace)
    assert "convs.0: GATConv, fused" in capsys.readouterr().out
    assert torch.equal(namespace["pooled"][2], torch.zeros(3))

    results: dict[str, list[torch.Tensor]] = {}
    for statement in ast.parse(blocks[-1]).body:
        exec(compile(ast.Module([statement], []), "dropin.md", "exec"), namespace)
        if isinstance(statement, ast.Assign) and isinstance(name := statement.targets[0], ast.Name):
            results.setdefault(name.id, []).append(namespace[name.id])
    repeated = {name: values for name, values in results.items() if len(values) > 1 and name != "alpha"}
    assert {name: len(values) for name, values in repeated.items()} == {"out": 3, "score": 2, "pooled": 2}
    for first, *others in repeated.values():
        for other in others:
            torch.testing.assert_close(other, first, rtol=1e-5, atol=1e-5)
