"""The table of an experiment: one row a model, mean and standard deviation over seeds."""

import statistics
from dataclasses import dataclass, field
from typing import NamedTuple

Metrics = dict[str, float]


class Column(NamedTuple):
    title: str
    metric: str
    part: str  # "test" or "cold"


COLUMNS = (
    Column("Recall@20", "recall@20", "test"),
    Column("NDCG@20", "ndcg@20", "test"),
    Column("HR@20", "hr@20", "test"),
    Column("F1@20", "f1@20", "test"),
    Column("MRR@20", "mrr@20", "test"),
    Column("NDCG@10", "ndcg@10", "test"),
    Column("Coverage@20", "coverage@20", "test"),
    Column("Novelty@20", "novelty@20", "test"),
    Column("Diversity@20", "diversity@20", "test"),
    Column("cold Recall@20", "recall@20", "cold"),
    Column("cold NDCG@20", "ndcg@20", "cold"),
)


@dataclass
class Row:
    """One model's metrics: a dict a seed on the test part, and on the cold items if the model can tell them apart."""

    name: str
    settings: str
    test: list[Metrics] = field(default_factory=list)
    cold: list[Metrics] = field(default_factory=list)

    def values(self, column: Column) -> list[float]:
        """One value a seed; none if the column does not apply."""
        seeds = self.test if column.part == "test" else self.cold
        return [metrics[column.metric] for metrics in seeds if column.metric in metrics]

    def mean(self, column: Column) -> float | None:
        values = self.values(column)
        return statistics.fmean(values) if values else None

    def cell(self, column: Column) -> str:
        """Mean, and +- the sample standard deviation if there are several seeds."""
        values = self.values(column)
        if not values:
            return "-"
        mean = f"{statistics.fmean(values):.4f}"
        return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def columns(rows: list[Row]) -> list[Column]:
    """The columns to which at least one row has a value."""
    return [column for column in COLUMNS if any(row.values(column) for row in rows)]


def to_markdown(rows: list[Row]) -> str:
    """The table in Markdown, its columns padded to equal width."""
    shown = columns(rows)
    cells = [["", *(column.title for column in shown)]]
    cells += [[row.name, *(row.cell(column) for column in shown)] for row in rows]
    width = [max(len(line[position]) for line in cells) for position in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(size) for cell, size in zip(line, width, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (size + 2) for size in width) + "|")
    return "\n".join(lines) + "\n"
