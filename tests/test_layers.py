"""Imports point down only."""

from __future__ import annotations

import ast
from pathlib import Path

import graphkern

ROOT = Path(graphkern.__file__).parent
# each may import those before it
ORDER = ["csr", "ops", "optim", "graph", "nn", "pyg", "loader", "align", "rank", "serve", "cli"]
BELOW = {"_kept", "_native", "_op", "_use", "_doctor", "_reorder"}


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("graphkern.")}
    return rooms & set(ORDER)


def test_imports_point_down():
    wrong = []
    for path in ROOT.rglob("*.py"):
        room = _room(path)
        if room in ORDER:
            wrong += [
                f"{path}: {room} imports {other}"
                for other in _imported_rooms(path)
                if ORDER.index(other) > ORDER.index(room)
            ]
        elif room in BELOW:
            wrong += [f"{path}: imports {other}" for other in _imported_rooms(path)]
        else:
            assert room in ("__init__", "compat"), f"{path} is in no room of DESIGN: add it to ORDER"
    assert not wrong, "\n".join(wrong)
