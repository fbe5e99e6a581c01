"""A made world for the recommender's tests: users who like one genre, titles that name it, and a tiny BERT."""

import csv
import random
from pathlib import Path
from typing import Any

from graphkern.rank.config import ExperimentConfig

GENRES = ("space", "love", "crime", "war")
NUM_USERS, ITEMS_A_GENRE = 80, 40


def write_tables(folder: Path, seed: int = 0) -> None:
    """interactions.csv, items.csv and users.csv; user n likes genre n % 4 and takes 12 items of it and 2 others."""
    draw = random.Random(seed)
    items = [(f"i{n}", f"{GENRES[n % 4]} film {n}", GENRES[n % 4]) for n in range(ITEMS_A_GENRE * 4)]
    interactions = []
    for user in range(NUM_USERS):
        own = [item for item in range(len(items)) if item % 4 == user % 4]
        others = [item for item in range(len(items)) if item % 4 != user % 4]
        for item in draw.sample(own, 12) + draw.sample(others, 2):
            interactions.append((f"u{user}", f"i{item}", draw.randrange(1, 6), draw.randrange(10**6)))
    _write(folder / "interactions.csv", ["user", "item", "rating", "time"], interactions)
    _write(folder / "items.csv", ["item", "title", "genres"], items)
    _write(folder / "users.csv", ["user", "age"], [(f"u{user}", 20 + user % 30) for user in range(NUM_USERS)])


def write_bert(folder: Path, seed: int = 0) -> None:
    """A BERT of one layer and 32 dimensions with random weights, as transformers saves it."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GENRES, "film", "likes", "genres", "age", ":", ".", ","]
    words += [str(digit) for digit in range(10)] + [f"##{digit}" for digit in range(10)]
    (folder / "vocab.txt").write_text("\n".join(words))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
        BertModel(BertConfig(vocab_size=len(words), **shape)).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)


def make_config(folder: Path, **changes: Any) -> ExperimentConfig:
    """An experiment on the tables and the BERT in folder that trains in a second; changes replace whole sections."""
    settings: dict[str, Any] = {
        "data": {
            "name": "made",
            "interactions": {
                "path": folder / "interactions.csv", "user": "user", "item": "item", "rating": "rating", "time": "time"
            },
            "items": {
                "path": folder / "items.csv", "id": "item", "title": "title", "list_attributes": {"genres": " "}
            },
            "users": {"path": folder / "users.csv", "id": "user", "attributes": ["age"]},
        },
        "text": {"model": str(folder / "bert"), "cache": folder / "cache"},
        "split": {"cold_items": 0.25},
        "model": {"dim": 16},
        "train": {"epochs": 6, "batch_size": 128, "projection_lr": 0.03, "metric": "ndcg@10"},
        "alignment": {"weight": 0.5, "batch_size": 48},
        "seeds": [0, 1],
        "item_attribute": "genres",
        "output": folder / "run",
    }  # fmt: skip
    return ExperimentConfig.model_validate(settings | changes)


def _write(path: Path, header: list[str], rows: list[tuple]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
