"""The report: one table of all rows, then the geometric means beside what they should be."""

from __future__ import annotations

import json
import math
import platform
from pathlib import Path
from typing import Any

import torch

from .ceilings import copy_gbps, last_level_cache

# Label of a mean -> (goal, True where at least it, False where at most it). Labels without a goal are shown as well.
GOALS: dict[str, tuple[float, bool]] = {
    "spmm sum, forward": (2.5, True),
    "spmm sum, forward+backward": (2.5, True),
    "spmm sum beyond the cache, share of gather, random order": (0.85, True),
    "spmm mean, forward": (2, True),
    "spmm mean, forward+backward": (2, True),
    "spmm max, min, forward": (4, True),
    "spmm max, min, forward+backward": (4, True),
    "spmm bfloat16, against ours in float32, forward": (1.6, True),
    "spmm bfloat16, against ours in float32, forward+backward": (1.6, True),
    "sddmm, forward": (3, True),
    "sddmm, forward+backward": (3, True),
    "edge_softmax, forward": (3, True),
    "edge_softmax, forward+backward": (3, True),
    "segment_reduce, forward": (2, True),
    "segment_reduce, forward+backward": (2, True),
    "scatter_reduce sum, dim 0, forward, against torch_scatter": (3, True),
    "GATConv, GATv2Conv, TransformerConv training step against PyG": (8, True),
    "GATConv, GATv2Conv, TransformerConv peak extra memory over PyG's": (0.1, False),
    "call on 10 edges over torch.index_select": (3, False),
    "star, 2 threads over 1, forward": (0.65, False),
    "star, 2 threads over 1, forward+backward": (0.65, False),
    "sampling, one thread over torch_sparse": (30, True),
    "sampling, M edges/s on one thread": (30, True),
    "sampling, two threads over one": (1.8, True),
    "info_nce over all items, forward+backward, over eager": (2, True),
    "info_nce over all items, forward+backward, peak extra memory over eager's": (0.05, False),
    "bpr_loss and RowwiseAdam over eager with dense Adam": (5, True),
    "topk_scores k 20 over matmul, mask, topk": (3, True),
    "topk_scores over faiss IndexFlatIP, nothing excluded": (1.5, True),
    "topk_scores peak extra memory beyond its results, MiB": (64, False),
    "rank_metrics over topk_scores": (0.1, False),
}
COLUMNS = (
    "op",
    "case",
    "direction",
    "ours ms",
    "best peer",
    "ratio",
    "GB/s",
    "of gather",
    "of copy",
    "peak MiB",
    "peer's",
)
SAMPLING = (
    "sampling",
    "M edges/s on 1 thread",
    "on 2",
    "2 over 1",
    "best peer",
    "its M edges/s",
    "1 thread over it",
)
RANKING = (
    "op",
    "case",
    "direction",
    "ours ms",
    "best peer",
    "over it",
    "over eager",
    "over compiled",
    "over others",
    "peak MiB",
    "best peer's",
    "eager's",
)
TABLES = {
    "cpu": (
        "Message passing on the CPU",
        "Ratio: the best peer's time over ours, both in the same process by turns. Memory: what a call adds.",
    ),
    "sampling": (
        "Neighbor sampling on the CPU",
        "1,024 seeds, fanouts 15, 10, 5. Edges a second of ours and of the peers, in the same process by turns.",
    ),
    "ranking": (
        "Ranking on the CPU",
        "Over a peer: its time over ours, both in the same process by turns. Memory: what a call adds, its results"
        " included. Gowalla: 29,858 users, 40,981 items, 810,128 pairs in train, 217,242 in test.",
    ),
}
ABSENT = ("not timed", "why", "rows")
MEANS = ("geometric mean over cases", "value", "least", "most", "cases", "goal", "")


def number(value: float | None, digits: int, scale: float = 1) -> str:
    return "-" if value is None or math.isnan(value) else f"{value * scale:.{digits}f}"


def percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.0%}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    slow = row.get("by_reference")
    return (
        row["op"] + (f" (by the reference: {', '.join(slow)})" if slow else ""),
        row["case"],
        row["direction"],
        number(row["ms"], 3),
        row["peer"] or "-",
        number(row["ratio"], 2),
        number(row.get("gbps"), 1),
        percent(row.get("of_gather")),
        percent(row.get("of_copy")),
        number(row["peak_mib"], 0),
        number(row["peer_peak_mib"], 0),
    )


def _sampling_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["case"],
        number(row["one"], 1),
        number(row["two"], 1),
        number(row["two"] / row["one"], 2),
        row["peer"] or "-",
        number(row["peer_rate"], 2),
        number(row["ratio"], 1),
    )


def _ranking_cells(row: dict[str, Any]) -> tuple[str, ...]:
    ratios = row["ratios"]
    others = [f"{peer} {number(ratio, 2)}" for peer, ratio in ratios.items() if peer not in ("eager", "compiled")]
    return (
        row["op"],
        row["case"],
        row["direction"],
        number(row["ms"], 3),
        row["peer"] or "-",
        number(row["ratio"], 2),
        number(ratios.get("eager"), 2),
        number(ratios.get("compiled"), 2),
        ", ".join(others) or "-",
        number(row["peak_mib"], 0),
        number(row["peer_peak_mib"], 0),
        number(row["eager_peak_mib"], 0),
    )


def means(rows: list[dict[str, Any]], goals: dict[str, tuple[float, bool]] = GOALS) -> list[dict[str, Any]]:
    """One entry for each label that rows count for: those with a goal first, in the order of goals."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for label, value in row["targets"].items():
            values.setdefault(label, []).append(value)
    labels = [label for label in goals if label in values] + [label for label in values if label not in goals]
    result = []
    for label in labels:
        got = values[label]
        mean = math.exp(sum(map(math.log, got)) / len(got)) if min(got) > 0 else 0.0
        entry = {"label": label, "mean": mean, "min": min(got), "max": max(got), "cases": len(got)}
        if label in goals:
            goal, at_least = goals[label]
            entry |= {"goal": goal, "at_least": at_least, "met": mean >= goal if at_least else mean <= goal}
        result.append(entry)
    return result


def mean_cells(entry: dict[str, Any]) -> tuple[str, ...]:
    goal = f"{'at least' if entry['at_least'] else 'at most'} {entry['goal']:g}" if "goal" in entry else "-"
    met = {True: "met", False: "MISSED"}.get(entry.get("met"), "")
    values = (f"{entry[key]:.2f}" if entry[key] >= 0.1 else f"{entry[key]:.2g}" for key in ("mean", "min", "max"))
    return entry["label"], *values, str(entry["cases"]), goal, met


def absent_cells(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """(peer, why, number of rows) of what was not timed."""
    count: dict[tuple[str, str], int] = {}
    for row in rows:
        for peer, reason in row["absent"].items():
            count[f"{row['op']}: {peer}", reason] = count.get((f"{row['op']}: {peer}", reason), 0) + 1
    return [(peer, reason, str(number)) for (peer, reason), number in sorted(count.items())]


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def about() -> dict[str, Any]:
    """The machine and the software, the copy and the largest cache."""
    return {
        "cpu": _cpu(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "last level cache MiB": last_level_cache() >> 20,
        "copy GB/s": round(copy_gbps(), 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def text_lines(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[at]) for line in (header, *lines)) for at in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (header, *lines)]


def markdown_lines(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> list[str]:
    rule = ["---"] * len(header)
    return [f"| {' | '.join(line)} |" for line in (header, tuple(rule), *lines)]


def absent_text(rows: list[dict[str, Any]]) -> list[str]:
    return text_lines(ABSENT, absent_cells(rows))


def _sections(rows: list[dict[str, Any]]) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    sections = [
        (COLUMNS, [_cells(row) for row in rows if "table" not in row]),
        (SAMPLING, [_sampling_cells(row) for row in rows if row.get("table") == "sampling"]),
        (RANKING, [_ranking_cells(row) for row in rows if row.get("table") == "ranking"]),
        (ABSENT, absent_cells(rows)),
        (MEANS, [mean_cells(entry) for entry in means(rows)]),
    ]
    return [(header, body) for header, body in sections if body]


def text(rows: list[dict[str, Any]]) -> list[str]:
    machine = ", ".join(f"{name} {value}" for name, value in about().items())
    lines = [machine]
    for header, body in _sections(rows):
        lines += ["", *text_lines(header, body)]
    return lines


def write(rows: list[dict[str, Any]], folder: Path) -> None:
    """In folder for each table that has rows TABLE.md and TABLE.json."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = about()
    for table, (title, note) in TABLES.items():
        its_rows = [row for row in rows if row.get("table", "cpu") == table]
        if not its_rows:
            continue
        lines = [f"# {title}", "", ", ".join(f"{name} {value}" for name, value in machine.items()), "", note]
        for header, body in _sections(its_rows)[::-1]:
            lines += ["", *markdown_lines(header, body)]
        (folder / f"{table}.md").write_text("\n".join(lines) + "\n")
        document = {"about": machine, "means": means(its_rows), "rows": its_rows}
        (folder / f"{table}.json").write_text(json.dumps(document, indent=1) + "\n")
