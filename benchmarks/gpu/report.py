"""What the rows say: who is faster by op, means beside their goals, one table of all; written for the device's name."""

from __future__ import annotations

import json
import math
import platform
import statistics
from pathlib import Path
from typing import Any

import torch

from ..report import ABSENT, MEANS, absent_cells, markdown_lines, mean_cells, means, number, percent, text_lines
from .clock import Clock

# Label of a mean -> (goal, True where at least it, False where at most it). Labels without a goal are shown as well.
GOALS: dict[str, tuple[float, bool]] = {
    "spmm float32 sum over cached cuSPARSE": (1.2, True),
    "spmm float32 sum, share of the gather ceiling": (0.8, True),
    "spmm bfloat16 sum over ours in float32": (1.8, True),
    "spmm max, min over the scatter path": (5, True),
    "GAT, GATv2, attention training step over PyG": (8, True),
    "GAT, GATv2, attention training step, peak extra memory over PyG's": (0.05, False),
    "sampling 1024 x [15, 10, 5], R-MAT 10M x 100M, M edges/s": (300, True),
    "info_nce, forward+backward, over eager": (2, True),
    "LightGCN training step over torch.sparse COO": (10, True),
}
OURS = ("cuda", "triton")
COLUMNS = ("op", "case", *(f"{own} ms" for own in OURS), "best peer", "its ms", "over it", "GB/s")
COLUMNS += ("of copy", "of gather", "peak MiB", "peer's")
WINNERS = ("op", "rows", "Triton's time over CUDA's", "least", "most", "default", "measured winner")
NOTE = (
    "Milliseconds between CUDA events, median of rounds by turns in one process, 256 MiB written before each; sampling"
    " by the host's clock. Every result was checked against the reference in float64 first. over it: the best peer's"
    " time over that of the default implementation, which GB/s and shares belong to as well. of gather: index_select of"
    " as many random rows of the same table, read and written. Memory: what a call adds. Means are of the default; in"
    " brackets with the measured winner of each row as the default."
)
TABLE = "Who serves an op where both are written is chosen by fill_in() in graphkern/_op.py"


def about(clock: Clock) -> dict[str, Any]:
    import triton

    device = torch.cuda.get_device_properties(0)
    return {
        "gpu": device.name,
        "capability": f"{device.major}.{device.minor}",
        "memory GiB": round(device.total_memory / 2**30, 1),
        "L2 MiB": device.L2_cache_size >> 20,
        "copy GB/s": round(clock.copy_gbps(), 1),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": triton.__version__,
        "python": platform.python_version(),
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    ms, peak, default, peer = row["ms"], row["peak_mib"], row["default"], row["peer"]
    return (
        row["group"],
        row["case"],
        *(number(ms.get(own), 3) for own in OURS),
        peer or "-",
        number(ms.get(peer), 3),
        number(ms[peer] / ms[default] if peer and default in ms else None, 2),
        number(row.get("gbps"), 0),
        percent(row.get("of_copy")),
        percent(row.get("of_gather")),
        number(peak.get(default), 0),
        number(peak.get(peer), 0),
    )


def _winners(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """By group, where both CUDA and Triton were timed."""
    ratios: dict[str, list[float]] = {}
    default = {row["group"]: row["default"] for row in rows}
    for row in rows:
        if set(OURS) <= row["ms"].keys():
            ratios.setdefault(row["group"], []).append(row["ms"][OURS[1]] / row["ms"][OURS[0]])
    lines = []
    for group, values in ratios.items():
        mean = statistics.geometric_mean(values)
        winner = OURS[mean < 1]
        mark = "" if winner == default[group] else " (not the default)"
        spread = (f"{value:.2f}" for value in (mean, min(values), max(values)))
        lines.append((group, str(len(values)), *spread, default[group], winner + mark))
    return lines


def _means(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """With each row's winner in brackets; goals that no row counts for are said to be not measured."""
    with_winner = {e["label"]: e["mean"] for e in means([r | {"targets": r["winner_targets"]} for r in rows], GOALS)}
    lines = []
    for entry in means(rows, GOALS):
        label, mean, *rest = mean_cells(entry)
        other = with_winner[label]
        lines.append((label, mean if math.isclose(other, entry["mean"]) else f"{mean} ({other:.2f})", *rest))
    counted = {line[0] for line in lines}
    for label, (goal, at_least) in GOALS.items():
        if label not in counted:
            lines.append(
                (label, "-", "-", "-", "0", f"{'at least' if at_least else 'at most'} {goal:g}", "not measured")
            )
    return lines


def _failed(failures: dict[str, str]) -> list[str]:
    return [f"FAILED {what}: {reason}" for what, reason in failures.items()]


def _sections(rows: list[dict[str, Any]]) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """The most telling first."""
    absent = absent_cells([{"op": row["group"], "absent": row["absent"]} for row in rows])
    sections = [
        (MEANS, _means(rows)),
        (WINNERS, _winners(rows)),
        (COLUMNS, [_cells(row) for row in rows]),
        (ABSENT, absent),
    ]
    return [(header, body) for header, body in sections if body]


def _line(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def text(rows: list[dict[str, Any]], failures: dict[str, str], machine: dict[str, Any]) -> list[str]:
    """The most telling last."""
    lines = []
    for header, body in _sections(rows)[::-1]:
        lines += [*text_lines(header, body), ""]
    return [*lines, TABLE, "", *_failed(failures), _line(machine)]


def smoke(rows: list[dict[str, Any]], failures: dict[str, str]) -> list[str]:
    lines = [
        f"{row['group']}: {row['case']}: {', '.join(row['ours'])} beside {', '.join(row['peers'])}" for row in rows
    ]
    absent = text_lines(ABSENT, absent_cells([{"op": row["group"], "absent": row["absent"]} for row in rows]))
    return [*lines, "", *absent, "", *_failed(failures), f"{len(rows)} rows checked, none timed"]


def write(rows: list[dict[str, Any]], failures: dict[str, str], machine: dict[str, Any], folder: Path) -> None:
    """<gpu>.json and <gpu>.md, of what is done so far."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / machine["gpu"].replace(" ", "-")
    lines = [f"# {machine['gpu']}", "", _line(machine), "", NOTE, "", f"{TABLE}.", *_failed(failures)]
    for header, body in _sections(rows):
        lines += ["", *markdown_lines(header, body)]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n")
    document = {"about": machine, "means": means(rows, GOALS), "rows": rows, "failures": failures}
    path.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
