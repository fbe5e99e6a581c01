"""Training: the same bits from the same seed, whether or not it was interrupted; early stopping; what it learns."""

import pytest
import torch

from graphkern.graph import load_dataset, make_split
from graphkern.graph.pairs import sorted_csr
from graphkern.rank.checkpoint import load_checkpoint, save_checkpoint
from graphkern.rank.evaluate import evaluate
from graphkern.rank.model import AlignmentConfig, ModelConfig, Recommender
from graphkern.rank.trainer import Epoch, TrainConfig, Trainer, seeded
from tests.worlds import make_config, write_tables


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_tables(folder)
    config = make_config(folder)
    return make_split(load_dataset(config.data), config.split)


@pytest.fixture(scope="module")
def texts(split):
    """A node's text embedding is its genre, user n's and item n's being n % 4, with noise."""
    random = torch.Generator().manual_seed(0)
    return tuple(
        torch.eye(4)[torch.arange(count) % 4] + 0.1 * torch.randn(count, 4, generator=random)
        for count in (split.num_users, split.num_items)
    )


def make_trainer(split, texts, seed=0, checkpoint=None, model=None, **train):
    model, alignment = model or ModelConfig(dim=16), AlignmentConfig(weight=0.5, batch_size=48)
    config = TrainConfig(**({"epochs": 4, "batch_size": 128, "metric": "ndcg@10", "patience": 9} | train))
    recommender = seeded(seed, lambda: Recommender(model, alignment, split.train, *texts))
    return Trainer(recommender, split, config, seed, checkpoint)


def losses(trainer):
    return [(epoch.ranking_loss, epoch.alignment_loss, epoch.metric) for epoch in trainer.history]


def assert_same(one: Trainer, other: Trainer):
    assert losses(one) == losses(other)
    torch.testing.assert_close(one.model.state_dict(), other.model.state_dict(), rtol=0, atol=0)


def test_resumed_training_ends_in_the_same_bits(split, texts, tmp_path):
    straight = make_trainer(split, texts)
    straight.fit()
    make_trainer(split, texts, checkpoint=tmp_path / "a.pt", epochs=2).fit()
    torch.rand(5)  # the global generator has no part in it
    resumed = make_trainer(split, texts, checkpoint=tmp_path / "a.pt")
    assert len(resumed.history) == 2
    resumed.fit()
    assert_same(straight, resumed)
    finished = make_trainer(split, texts, checkpoint=tmp_path / "a.pt")
    assert finished.is_over
    finished.fit()
    assert_same(straight, finished)


def test_an_interrupted_epoch_is_trained_again(split, texts, tmp_path, monkeypatch):
    straight = make_trainer(split, texts)
    straight.fit()
    trainer = make_trainer(split, texts, checkpoint=tmp_path / "a.pt")
    validate, calls = trainer._validate, []

    def interrupt():
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return validate()

    monkeypatch.setattr(trainer, "_validate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    resumed = make_trainer(split, texts, checkpoint=tmp_path / "a.pt")
    assert len(resumed.history) == 2
    resumed.fit()
    assert_same(straight, resumed)


def test_seeds_decide_alone(split, texts):
    before = torch.get_rng_state()
    one, same, other = (make_trainer(split, texts, seed=seed, epochs=1) for seed in (0, 0, 1))
    for trainer in (one, same, other):
        trainer.fit()
    assert_same(one, same)
    assert losses(one) != losses(other)
    assert torch.equal(before, torch.get_rng_state())


def test_training_stops_early_and_keeps_the_best_epoch(split, texts, monkeypatch):
    trainer = make_trainer(split, texts, epochs=9, patience=2)
    metrics, states = iter([0.1, 0.3, 0.3, 0.2, 0.9]), []

    def validate():
        states.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
        return next(metrics)

    monkeypatch.setattr(trainer, "_validate", validate)
    model = trainer.fit()
    assert [epoch.metric for epoch in trainer.history] == [0.1, 0.3, 0.3, 0.2]
    assert trainer.best is trainer.history[1]
    torch.testing.assert_close(model.state_dict(), states[1], rtol=0, atol=0)
    assert not model.training


@pytest.mark.parametrize("loss", ["softmax", "bpr", "bce"])
def test_it_learns_what_users_like_and_text_carries_it_to_cold_items(split, texts, loss):
    """A quarter of the items is of a user's genre, of the warm and of the cold ones."""
    trainer = make_trainer(split, texts, model=ModelConfig(dim=16, loss=loss), epochs=15, projection_lr=0.03)
    user, item = trainer.fit().embeddings()
    by_genre = (user @ item.T).topk(4, dim=1).indices % 4 == torch.arange(split.num_users).unsqueeze(1) % 4
    assert by_genre.float().mean() > 0.8
    cold = split.cold_items[(user @ item[split.cold_items].T).topk(2, dim=1).indices]
    assert (cold % 4 == torch.arange(split.num_users).unsqueeze(1) % 4).float().mean() > 0.8
    assert evaluate((user, item), split, "valid", [10])["ndcg@10"] == trainer.best.metric


@pytest.mark.parametrize("change", [{"seed": 1}, {"lr": 0.1}, {"model": ModelConfig(dim=8)}, {"texts": True}])
def test_a_checkpoint_of_other_settings_is_refused(split, texts, tmp_path, change):
    make_trainer(split, texts, checkpoint=tmp_path / "a.pt", epochs=1).fit()
    if "texts" in change:
        change, texts = {}, tuple(text.flip(0) for text in texts)
    with pytest.raises(ValueError, match="other data or settings"):
        make_trainer(split, texts, checkpoint=tmp_path / "a.pt", **change)


def test_a_split_without_validation_is_refused(split, texts):
    none = torch.empty(0, dtype=torch.int64)
    bare = type(split)(**vars(split) | {"valid": sorted_csr(none, none, split.num_users, split.num_items)})
    with pytest.raises(ValueError, match="no validation part"):
        make_trainer(bare, texts)


def test_checkpoints_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "a.pt"
    save_checkpoint(path, {"fingerprint": "f", "x": torch.arange(3), "history": [vars(Epoch(1, 0.5, 0.0, 0.1, 2.0))]})
    with pytest.raises(AttributeError):
        save_checkpoint(path, {"fingerprint": "f", "x": lambda: None})
    assert torch.equal(load_checkpoint(path, "f")["x"], torch.arange(3))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.pt is not a checkpoint"):
        load_checkpoint(path, "f")
