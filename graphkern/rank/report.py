"""report.html: a run's table, curves, embedding picture and sample recommendations in one file without dependencies."""

from collections import Counter
from html import escape
from pathlib import Path

import torch
from torch import Tensor

from graphkern.graph.pairs import take_rows
from graphkern.ops import topk_scores
from graphkern.rank.charts import GREY, PALETTE, Points, Series, legend, line_chart, scatter_chart
from graphkern.rank.experiment import NO_ALIGNMENT, OURS, SHUFFLED, Experiment, Result
from graphkern.rank.recommend import Recommendation, Serving
from graphkern.rank.table import COLUMNS, Column, Row, columns

_COLORS = {NO_ALIGNMENT: PALETTE[1], SHUFFLED: GREY, OURS: PALETTE[0]}
_COLD_RECALL = next(column for column in COLUMNS if (column.metric, column.part) == ("recall@20", "cold"))
_FEATURE_DIVERSITY = Column("", "feature_diversity@20", "test")
_NUM_NEIGHBORS = 10
_SAMPLE_SIZE, _COLD_SAMPLE_SIZE = 10, 5

_STYLE = """
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:#1d2733;background:#fff;margin:2rem auto;
  max-width:1320px;padding:0 1.5rem}
h1{font-size:1.7rem;margin:0 0 .2rem}h2{font-size:1.2rem;margin:2.4rem 0 .5rem}h3{font-size:1rem;margin:1.4rem 0 .4rem}
p{margin:.4rem 0;max-width:75rem}.muted,small{color:#5b6775}
table{border-collapse:collapse;width:100%;font-size:13.5px}th,td{padding:.42rem .6rem;text-align:right;
  border-bottom:1px solid #e3e7ec;vertical-align:top}th{font-weight:600;border-bottom:2px solid #1d2733}
th:first-child,td:first-child,table.list th,table.list td{text-align:left}table.list td.number{text-align:right}
table.metrics td{font-variant-numeric:tabular-nums;white-space:nowrap}td small{display:block}
tr.ours td{background:#eef5fb}table.list small{display:inline}
.row{display:flex;flex-wrap:wrap;gap:1rem}.row>*{flex:1 1 360px;min-width:0}svg{width:100%;height:auto}
.title{font-size:13px;font-weight:600;fill:#1d2733}.tick{font-size:11px;fill:#5b6775}.grid{stroke:#e3e7ec}
.line{fill:none;stroke-width:2}.dot{opacity:.6}.diamond{stroke:#1d2733;stroke-width:.8}
.legend span{margin-right:1.1rem;white-space:nowrap;font-size:13px}.legend i{display:inline-block;width:.75rem;
  height:.75rem;border-radius:50%;margin-right:.35rem;vertical-align:-.06rem}
.hit{color:#00704f;font-weight:600}
"""


def write_report(path: Path, experiment: Experiment, result: Result, serving: Serving) -> None:
    """Write the report of a finished run."""
    config, split = experiment.config, experiment.split
    facts = (
        f"{split.num_users:,} users, {split.num_items:,} items of which {len(split.cold_items):,} are strict-cold; "
        f"{split.train.num_edges:,} train, {split.valid.num_edges:,} validation, {split.test.num_edges:,} test pairs "
        f"by {config.split.strategy}; {len(config.seeds)} seeds"
    )
    body = [
        f"<h1>{escape(config.data.name)}</h1>",
        f'<p class="muted">{facts}. Split {split.fingerprint()[:12]}.</p>',
        "<h2>Results</h2>",
        _table(result.rows),
        _reading(experiment, result.rows),
        "<h2>Training</h2>",
        _curves(result),
        "<h2>Items before and after alignment</h2>",
        _picture(experiment),
        "<h2>Sample recommendations</h2>",
        _sample(experiment, serving),
    ]
    head = f'<meta charset="utf-8"><title>graphkern: {escape(config.data.name)}</title><style>{_STYLE}</style>'
    page = f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'
    path.write_text(page, encoding="utf-8")


def _table(rows: list[Row]) -> str:
    shown = columns(rows)
    best = {column: max(mean for row in rows if (mean := row.mean(column)) is not None) for column in shown}
    head = "".join(f"<th>{escape(title)}</th>" for title in ["", *(column.title for column in shown)])
    lines = []
    for row in rows:
        cells = f"<td>{escape(row.name)}<small>{escape(row.settings)}</small></td>"
        cells += "".join(_cell(row, column, best[column]) for column in shown)
        lines.append(f'<tr class="ours">{cells}</tr>' if row.name == OURS else f"<tr>{cells}</tr>")
    return f'<table class="metrics"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _cell(row: Row, column: Column, best: float) -> str:
    mean, _, deviation = row.cell(column).partition(" ± ")
    number = f"<b>{mean}</b>" if row.mean(column) == best else mean
    return f"<td>{number}<small>± {deviation}</small></td>" if deviation else f"<td>{number}</td>"


def _reading(experiment: Experiment, rows: list[Row]) -> str:
    """How the table was made, and what it says of strict-cold items."""
    attribute = experiment.config.item_attribute
    parts = [
        "All warm items are ranked, those that the user has in train or validation left out. Metrics are averaged over "
        "users with test items; NDCG divides by the ideal DCG of min(k, number of test items). Hyperparameters, also "
        "those of the baselines, are chosen on validation. Coverage: share of warm items in any list. Novelty: mean "
        "-log<sub>2</sub> of the share of users with the item in train, in bits. Diversity: mean, over the pairs of a "
        "list, of 1 - cosine of the sets of users with the items in train."
    ]
    if attribute is not None:
        by_attribute = ", ".join(f"{escape(row.name)} {row.cell(_FEATURE_DIVERSITY)}" for row in rows)
        parts.append(f"With the cosine of {escape(attribute)} in its place, diversity is: {by_attribute}.")
    by_name = {row.name: row.mean(_COLD_RECALL) for row in rows}
    ours, shuffled = by_name[OURS], by_name[SHUFFLED]
    if ours is not None and shuffled:
        num_cold = len(experiment.split.cold_items)
        parts.append(
            f"Strict-cold items have no interaction in train and are ranked among themselves, by their text alone: "
            f"Recall@20 is {ours:.3f} with each item's own text, {ours / shuffled:.1f} times the {shuffled:.3f} with "
            f"shuffled texts; random order would give {min(20 / num_cold, 1):.3f}."
        )
    return "".join(f'<p class="muted">{part}</p>' for part in parts)


def _curves(result: Result) -> str:
    def lines(variant: str, value: str) -> list[list[float]]:
        return [[getattr(epoch, value) for epoch in epochs] for epochs in result.history[variant]]

    def chart(title: str, value: str, variants: list[str], marks: bool = False) -> str:
        series = [Series(variant, _COLORS[variant], lines(variant, value), marks) for variant in variants]
        return f"<div>{line_chart(title, 'epoch', series)}</div>"

    everyone = [SHUFFLED, NO_ALIGNMENT, OURS]
    charts = [
        chart("Ranking loss", "ranking_loss", everyone),
        chart("Alignment loss", "alignment_loss", [SHUFFLED, OURS]),
        chart("Validation metric (dot: epoch kept)", "metric", everyone, marks=True),
    ]
    key = legend([(variant, _COLORS[variant]) for variant in (OURS, NO_ALIGNMENT, SHUFFLED)])
    took = ", ".join(f"{escape(what)} {seconds:.0f} s" for what, seconds in result.seconds.items())
    return f'<div class="row">{"".join(charts)}</div>{key}<p class="muted">Time of the last run: {took}.</p>'


def _picture(experiment: Experiment) -> str:
    seed = experiment.config.seeds[0]
    color, key = _item_colors(experiment)
    charts, agreement = [], []
    for title, variant in (("Before: no alignment", NO_ALIGNMENT), ("After", OURS)):
        _, item = experiment.trainer(variant, seed).fit().embeddings()
        charts.append(f"<div>{_scatter(title, experiment, item, color)}</div>")
        agreement.append(_neighbor_agreement(experiment, item))
    words = (
        "Two principal components of the item embeddings. Discs are warm items, where the graph puts them; diamonds "
        "are strict-cold items, where their text puts them. Point at one for its title."
    )
    if agreement[0] is not None:
        words += (
            f" Of a strict-cold item's {_NUM_NEIGHBORS} nearest warm items, {agreement[0]:.0%} share one of its "
            f"{escape(str(experiment.config.item_attribute))} before alignment and {agreement[1]:.0%} after."
        )
    return f'<p class="muted">{words}</p><div class="row">{"".join(charts)}</div>{key}'


def _item_colors(experiment: Experiment, num_values: int = 7) -> tuple[list[str], str]:
    """A color an item, and the legend: that of the rarest of its values among the most common ones, grey if none."""
    attribute, items = experiment.config.item_attribute, experiment.dataset.items
    if attribute is None:
        return [GREY] * len(items), ""
    count = Counter(value for values in items.attributes[attribute] for value in values)
    common = [value for value, _ in count.most_common(num_values)]
    color = dict(zip(common, PALETTE, strict=False))
    chosen = [
        min((v for v in values if v in color), key=count.__getitem__, default=None)
        for values in items.attributes[attribute]
    ]
    return [color[value] if value else GREY for value in chosen], legend([*color.items(), ("other", GREY)])


def _scatter(title: str, experiment: Experiment, item: Tensor, color: list[str]) -> str:
    warm, cold = experiment.split.warm_items().tolist(), experiment.split.cold_items.tolist()
    centered = item - item[warm].mean(0)
    _, _, directions = torch.linalg.svd(centered[warm], full_matrices=False)
    place = (centered @ directions[:2].t()).tolist()
    names = experiment.dataset.items.title or experiment.dataset.item_ids
    groups = [
        Points(one, [(*place[i], names[i]) for i in part if color[i] == one], is_diamond)
        for part, is_diamond in ((warm, False), (cold, True))
        for one in sorted(set(color), key=lambda one: (one != GREY, one))
    ]
    return scatter_chart(title, groups)


def _neighbor_agreement(experiment: Experiment, item: Tensor) -> float | None:
    """Of the warm items nearest to each cold item, the share that has a feature in common with it."""
    warm, cold, features = experiment.split.warm_items(), experiment.split.cold_items, experiment.features
    if features is None or len(cold) == 0:
        return None
    _, nearest = topk_scores(item[cold], item[warm], min(_NUM_NEIGHBORS, len(warm)))
    shared = (features[warm[nearest]] * features[cold].unsqueeze(1)).sum(2) > 0
    return float(shared.float().mean())


def _sample(experiment: Experiment, serving: Serving) -> str:
    """The recommendations of one user: the first of those with the median number of train items."""
    degree = experiment.split.train.degree()
    user = int(torch.nonzero(degree == degree.median())[0])
    train = take_rows(experiment.split.train, torch.tensor([user])).num_edges
    parts = [
        f"<p>User {escape(experiment.dataset.user_ids[user])}, with {train} train items: "
        f"<i>{escape(experiment.user_texts[user])}</i></p>",
        _recommendations(serving.recommend(user, _SAMPLE_SIZE)),
    ]
    if len(experiment.split.cold_items):
        parts.append("<h3>From the strict-cold items, by text alone</h3>")
        parts.append(_recommendations(serving.recommend(user, _COLD_SAMPLE_SIZE, cold=True)))
    return "".join(parts)


def _recommendations(found: list[Recommendation]) -> str:
    head = "".join(
        f"<th>{title}</th>"
        for title in ("", "Item", "Score", "Nearest train items of the user", "Nearest users with the item", "Its text")
    )
    lines = []
    for rank, one in enumerate(found, start=1):
        hit = (
            ' <span class="hit" title="the user has it in the test part">&#10003; in test</span>'
            if one.is_test_hit
            else ""
        )
        items = "<br>".join(f"{escape(name)} <small>{value:.2f}</small>" for name, value in one.reason.items)
        users = "<br>".join(f"{escape(name)} <small>{value:.2f}</small>" for name, value in one.reason.users)
        match = f"match {one.reason.text_match:.2f}, rank {one.reason.text_rank} by text"
        text = f"{escape(one.reason.text)}<br><small>{match}</small>"
        cells = (
            f"<td>{cell}</td>"
            for cell in (rank, escape(one.title) + hit, f"{one.score:.3f}", items, users or "-", text)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table class="list"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
