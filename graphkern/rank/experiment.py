"""A whole experiment: baselines, and three variants of our model over several seeds, on one split."""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from graphkern.align import TextEncoder, item_texts, shuffled_rows, user_texts
from graphkern.graph import Dataset, Split, load_dataset, make_split
from graphkern.graph.build import attribute_matrix
from graphkern.ops import spmm
from graphkern.rank.baselines import EASE, GFCF, Baseline, Popularity, select_baseline
from graphkern.rank.config import ExperimentConfig, save_config
from graphkern.rank.diversity import interaction_diversity
from graphkern.rank.evaluate import Scorer, evaluate, rank_items
from graphkern.rank.metrics import intra_list_diversity
from graphkern.rank.model import Recommender
from graphkern.rank.recommend import save_serving
from graphkern.rank.table import Metrics, Row, to_markdown
from graphkern.rank.trainer import Epoch, Trainer, seeded

NO_ALIGNMENT, SHUFFLED, OURS = "ours, no alignment", "ours, shuffled text", "ours"
VARIANTS = (NO_ALIGNMENT, SHUFFLED, OURS)
KS = (10, 20)

_EASE_GRID = (50.0, 100.0, 200.0, 500.0)
_GFCF_GRID = [(rank, weight) for rank in (64, 128, 256) for weight in (0.3, 1.0, 3.0)]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Experiment:
    """What every model of an experiment shares.

    user_text [U, T] and item_text [I, T] are embeddings of user_texts and item_texts, made from train only;
    features [I, F] are the values of config.item_attribute.
    """

    config: ExperimentConfig
    dataset: Dataset
    split: Split
    user_texts: list[str]
    item_texts: list[str]
    user_text: Tensor
    item_text: Tensor
    features: Tensor | None

    def trainer(self, variant: str, seed: int) -> Trainer:
        """The trainer of a variant, at the state of its checkpoint if there is one."""
        config, alignment = self.config, self.config.alignment
        user_text, item_text = self.user_text, self.item_text
        if variant == NO_ALIGNMENT:
            alignment = alignment.model_copy(update={"weight": 0.0})
        elif variant == SHUFFLED:
            user_text, item_text = shuffled_rows(user_text, seed), shuffled_rows(item_text, seed)
        model = seeded(seed, lambda: Recommender(config.model, alignment, self.split.train, user_text, item_text))
        name = variant.replace(", ", "-").replace(" ", "-")
        checkpoint = config.output / "checkpoints" / f"{name}-seed-{seed}.pt"
        return Trainer(model, self.split, config.train, seed, checkpoint, label=f"{variant}, seed {seed}")

    def test(self, scorer: Scorer) -> Metrics:
        """What evaluate returns, with "diversity@20" by users and, given features, "feature_diversity@20"."""
        metrics = evaluate(scorer, self.split, "test", KS)
        split, users = self.split, torch.nonzero(self.split.test.degree()).flatten()
        _, topk = rank_items(scorer, users, max(KS), split.warm_items(), split.seen())
        metrics[f"diversity@{max(KS)}"] = interaction_diversity(topk, split.train)
        if self.features is not None:
            metrics[f"feature_diversity@{max(KS)}"] = intra_list_diversity(topk, self.features)
        return metrics

    def cold_test(self, scorer: Scorer) -> Metrics:
        """Empty if the split has no cold items."""
        return evaluate(scorer, self.split, "cold", KS) if self.split.cold_test.num_edges else {}


@dataclass(frozen=True)
class Result:
    """rows: the table. history: variant -> for each seed the epochs of its training. seconds: what took how long."""

    rows: list[Row]
    history: dict[str, list[list[Epoch]]]
    seconds: dict[str, float]


def prepare(config: ExperimentConfig) -> Experiment:
    """Read the tables, split them, and write and encode the text of each node.

    Raises: what load_dataset, make_split and TextEncoder.encode raise.
    """
    dataset = load_dataset(config.data)
    split = make_split(dataset, config.split)
    of_users, of_items = user_texts(dataset, split.train), item_texts(dataset.items)
    encoder = TextEncoder(config.text)
    features = None
    if config.item_attribute is not None:
        adj, _ = attribute_matrix(dataset.items.attributes[config.item_attribute])
        features = spmm(adj, torch.eye(adj.num_cols))
    return Experiment(
        config, dataset, split, of_users, of_items, encoder.encode(of_users), encoder.encode(of_items), features
    )


def run_experiment(config: ExperimentConfig) -> tuple[Experiment, Result]:
    """Train what is not trained yet, and write config.yaml, checkpoints, serving.pt, metrics.json and table.md.

    What is served is "ours" with the first seed.

    Raises: ValueError if the output folder has checkpoints of other data or settings; what prepare raises.
    """
    start = time.perf_counter()
    experiment = prepare(config)
    seconds = {"data and text": time.perf_counter() - start}
    split = experiment.split
    # all of them, so that checkpoints of other settings are refused before anything is written
    all_trainers = {variant: [experiment.trainer(variant, seed) for seed in config.seeds] for variant in VARIANTS}
    save_config(config)
    _log.info(
        "%s: %d users, %d items (%d strict-cold), %d train, %d valid, %d test pairs",
        config.data.name, split.num_users, split.num_items, len(split.cold_items),
        split.train.num_edges, split.valid.num_edges, split.test.num_edges,
    )  # fmt: skip

    start = time.perf_counter()
    rows = list(_baseline_rows(experiment))
    seconds["baselines"] = time.perf_counter() - start
    for variant, trainers in all_trainers.items():
        start = time.perf_counter()
        for trainer in trainers:
            _train(trainer)
        rows.append(_row(experiment, variant, trainers))
        seconds[variant] = time.perf_counter() - start
        if variant == OURS:
            save_serving(config.output, trainers[0].model, split)
    history = {variant: [trainer.history for trainer in trainers] for variant, trainers in all_trainers.items()}
    result = Result(rows, history, seconds)
    _write(experiment, result)
    return experiment, result


def evaluate_run(config: ExperimentConfig) -> list[Row]:
    """The table of a finished run, measured anew from its checkpoints.

    Raises: ValueError if a training of the run is missing or not finished.
    """
    experiment = prepare(config)
    rows = list(_baseline_rows(experiment))
    for variant in VARIANTS:
        trainers = [experiment.trainer(variant, seed) for seed in config.seeds]
        for trainer in trainers:
            if not trainer.is_over:
                raise ValueError(f"{trainer.label} is not trained to its end: run `graphkern train` again")
        rows.append(_row(experiment, variant, trainers))
    return rows


def _baseline_rows(experiment: Experiment) -> Iterator[Row]:
    split = experiment.split
    baselines: dict[str, Baseline] = {
        "popularity": Popularity().fit(split.train),
        "EASE": select_baseline([EASE(weight_decay) for weight_decay in _EASE_GRID], split),
        "GF-CF": select_baseline([GFCF(*settings) for settings in _GFCF_GRID], split),
    }
    for name, baseline in baselines.items():
        yield Row(name, repr(baseline), [experiment.test(baseline.scores)])


def _train(trainer: Trainer) -> None:
    start, first = time.perf_counter(), len(trainer.history)
    trainer.fit()
    new, best = len(trainer.history) - first, trainer.best
    assert best is not None
    how = f"{new} epochs in {time.perf_counter() - start:.1f} s" if new else "trained before"
    _log.info("%s: %s, best %s %.4f at epoch %d", trainer.label, how, trainer.config.metric, best.metric, best.number)


def _row(experiment: Experiment, variant: str, trainers: list[Trainer]) -> Row:
    row = Row(variant, f"seeds {', '.join(str(trainer.seed) for trainer in trainers)}")
    for trainer in trainers:
        embeddings = trainer.fit().embeddings()
        row.test.append(experiment.test(embeddings))
        row.cold.append(experiment.cold_test(embeddings))
    return row


def _write(experiment: Experiment, result: Result) -> None:
    output = experiment.config.output
    content = asdict(result) | {"split": experiment.split.fingerprint()}
    _replace(output / "metrics.json", json.dumps(content, indent=1, ensure_ascii=False))
    _replace(output / "table.md", to_markdown(result.rows))


def _replace(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
