"""A whole experiment on a made world: its files, its table, its recommendations and its report."""

import json
import re
from html.parser import HTMLParser

import pytest
import torch

pytest.importorskip("transformers", reason="the extra `text` is not installed")

from graphkern.align import TextEncoder
from graphkern.rank.config import load_config
from graphkern.rank.experiment import NO_ALIGNMENT, OURS, SHUFFLED, evaluate_run, prepare, run_experiment
from graphkern.rank.recommend import Serving
from graphkern.rank.report import write_report
from graphkern.rank.table import COLUMNS, to_markdown
from tests.worlds import make_config, write_bert, write_tables


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    write_tables(folder)
    write_bert(folder / "bert")
    config = make_config(folder)
    return config, *run_experiment(config)


@pytest.fixture(scope="module")
def serving(run):
    return Serving.load(run[0])


def test_the_run_holds_what_it_should(run):
    config, experiment, result = run
    files = {str(path.relative_to(config.output)) for path in config.output.rglob("*") if path.is_file()}
    names = ("ours", "ours-no-alignment", "ours-shuffled-text")
    checkpoints = {f"checkpoints/{name}-seed-{seed}.pt" for name in names for seed in (0, 1)}
    assert files == {"config.yaml", "metrics.json", "table.md", "serving.pt"} | checkpoints
    assert load_config(config.output) == config
    assert (config.output / "table.md").read_text() == to_markdown(result.rows)
    metrics = json.loads((config.output / "metrics.json").read_text())
    assert metrics["split"] == experiment.split.fingerprint()
    assert [row["name"] for row in metrics["rows"]] == ["popularity", "EASE", "GF-CF", NO_ALIGNMENT, SHUFFLED, OURS]
    assert metrics["rows"][-1]["test"] == result.rows[-1].test


def test_every_row_has_every_column_that_applies(run):
    for row in run[2].rows:
        is_ours = row.name.startswith("ours")
        for column in COLUMNS:
            expected = (2 if is_ours else 1) if column.part == "test" else 2 * is_ours
            assert len(row.values(column)) == expected, (row.name, column)


def test_own_text_tells_cold_items_apart_and_shuffled_text_does_not(run):
    """40 cold items, 10 of a user's genre: by chance 10 of them hold a quarter of what the user has."""
    recall = {row.name: [metrics["recall@10"] for metrics in row.cold] for row in run[2].rows}
    assert min(recall[OURS]) > 0.6
    assert max(recall[SHUFFLED] + recall[NO_ALIGNMENT]) < 0.45


def test_a_second_run_trains_nothing_and_evaluation_agrees(run, monkeypatch):
    config, _, result = run
    monkeypatch.setattr("graphkern.rank.trainer.Trainer._epoch", None)
    monkeypatch.setattr(TextEncoder, "_encode", None)
    assert run_experiment(config)[1].rows == result.rows
    assert evaluate_run(config) == result.rows


def test_an_unfinished_run_is_not_evaluated(run, tmp_path):
    other = run[0].model_copy(update={"output": tmp_path})
    with pytest.raises(ValueError, match=r"ours, no alignment, seed 0 is not trained to its end"):
        evaluate_run(other)
    with pytest.raises(FileNotFoundError, match=r"serving\.pt is missing"):
        Serving.load(other)


@pytest.mark.parametrize("cold", [False, True])
def test_recommendations_are_the_best_unseen_items(run, serving, cold):
    split, user = serving.split, 7
    user_embedding, item_embedding = run[1].trainer(OURS, 0).fit().embeddings()
    scores = item_embedding @ user_embedding[user]
    own = split.train.indices[split.train.indptr[user] : split.train.indptr[user + 1]]
    allowed = set((split.cold_items if cold else split.warm_items()).tolist())
    seen = split.seen()
    allowed -= set(seen.indices[seen.indptr[user] : seen.indptr[user + 1]].tolist())
    best = sorted(allowed, key=lambda item: -float(scores[item]))[:5]
    found = serving.recommend(user, 5, cold)
    assert [one.item for one in found] == [f"i{item}" for item in best]
    assert [one.score for one in found] == pytest.approx([float(scores[item]) for item in best])
    for item, one in zip(best, found, strict=True):
        similar = sorted(own.tolist(), key=lambda i: -float(item_embedding[i] @ item_embedding[item]))[:3]
        assert [neighbor.name for neighbor in one.reason.items] == [serving.dataset.items.title[i] for i in similar]
        assert one.reason.text == f"{one.title}. genres: {one.title.split()[0]}"
        has_users = len(one.reason.users) > 0
        assert has_users != cold
        if cold:
            assert one.reason.text_match == pytest.approx(one.score)


def test_recommendations_end_where_the_items_do(serving):
    assert len(serving.recommend(0, 1000)) == len(serving.split.warm_items()) - int(serving.split.seen().degree()[0])
    with pytest.raises(ValueError, match="k must be at least 1 but is 0"):
        serving.recommend(0, 0)


def test_texts_do_not_change_with_what_is_hidden(run, monkeypatch):
    """The texts of a dataset that ends with train equal those of the whole one."""
    config, experiment, _ = run
    split, dataset = experiment.split, experiment.dataset
    train = set(zip(split.train.row_index().tolist(), split.train.indices.tolist(), strict=True))
    kept = torch.tensor([pair in train for pair in zip(dataset.user.tolist(), dataset.item.tolist(), strict=True)])
    cut = type(dataset)(**vars(dataset) | {name: getattr(dataset, name)[kept] for name in ("user", "item", "time")})
    monkeypatch.setattr("graphkern.rank.experiment.load_dataset", lambda _: cut)
    monkeypatch.setattr("graphkern.rank.experiment.make_split", lambda *_: split)
    again = prepare(config)
    assert (again.user_texts, again.item_texts) == (experiment.user_texts, experiment.item_texts)


class Tags(HTMLParser):
    """Counts tags, and fails where one is closed that is not open."""

    def __init__(self, page):
        super().__init__()
        self.open, self.count = [], {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_one_whole_file(run, serving, tmp_path):
    _, experiment, result = run
    path = tmp_path / "report.html"
    write_report(path, experiment, result, serving)
    page = path.read_text(encoding="utf-8")
    tags = Tags(page)
    assert not tags.open
    assert tags.count["svg"] == 5
    assert tags.count["polygon"] == 2 * len(experiment.split.cold_items)
    assert tags.count["table"] == 3
    assert not re.search(r"https?://|<script|<link|<img", page)
    assert "nan" not in page.lower().replace("financ", "")
    for row in result.rows:
        assert row.cell(COLUMNS[0]).split(" ")[0] in page
