"""The command line: what it prints, and one line for each mistake."""

import re
import subprocess
import sys

import pytest

from graphkern.cli import main

pytest.importorskip("transformers", reason="the extra `text` is not installed")
pytest.importorskip("jsonargparse", reason="the extra `recsys` is not installed")

import yaml

from tests.worlds import make_config, write_bert, write_tables


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    write_tables(folder)
    write_bert(folder / "bert")
    settings = make_config(folder).model_dump(mode="json") | {"seeds": [0]}
    settings["train"]["epochs"] = 2
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="module")
def run(world):
    """The folder of a finished run."""
    folder = world / "run"
    assert main(["train", "--config", str(world / "config.yaml"), "--output", str(folder)]) == 0
    return folder


def fails(capsys, *args):
    """Run the command and return the one line it prints to stderr."""
    assert main([str(arg) for arg in args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err.strip()


def test_train_evaluate_recommend(run, capsys):
    assert (run / "report.html").stat().st_size > 10_000
    assert main(["evaluate", "--run", str(run)]) == 0
    assert capsys.readouterr().out == (run / "table.md").read_text()
    assert main(["recommend", "--run", str(run), "--user", "u7", "--k", "4"]) == 0
    out = capsys.readouterr().out
    assert [line[:4] for line in out.splitlines() if line[:3].strip()] == ["  1.", "  2.", "  3.", "  4."]
    assert out.count("like your ") == out.count("users near you have it: ") == out.count("text (match ") == 4
    assert main(["recommend", "--run", str(run), "--user", "u7", "--k", "2", "--cold"]) == 0
    assert capsys.readouterr().out.count("text (match ") == 2


def test_overrides_reach_the_run(world, tmp_path):
    args = ["--model.dim", "8", "--train.epochs", "1", "--seeds", "[3]", "--output", str(tmp_path / "run")]
    assert main(["train", "--config", str(world / "config.yaml"), *args]) == 0
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["model"]["dim"], config["train"]["epochs"], config["seeds"]) == (8, 1, [3])
    assert config["model"]["num_layers"] == 2
    assert (tmp_path / "run" / "checkpoints" / "ours-seed-3.pt").is_file()


@pytest.mark.parametrize(
    "override, message",
    [
        (["--model.dimm", "32"], "unrecognized arguments: --model.dimm 32"),
        (["--model.dim", "-3"], '"model.dim": .* greater than or equal to 1'),
        (["--model.loss", "hinge"], "softmax.*bpr.*bce"),
        (["--split.valid", "0.9"], "split: valid 0.9 and test 0.2 leave nothing to train on"),
        (["--seeds", "[1, 1]"], r"seeds: seeds must be different and not negative but are \[1, 1\]"),
        (["--item_attribute", "color"], r"item_attribute is 'color' but the attributes of items are \['genres'\]"),
        (["--data.interactions.path", "nowhere.csv"], "nowhere.csv"),
        (["--data.interactions.user", "who"], "who"),
        (["--text.model", "tests"], "tests"),
    ],
)
def test_wrong_settings_are_named_in_one_line(world, capsys, override, message):
    error = fails(capsys, "train", "--config", world / "config.yaml", "--output", world / "never", *override)
    assert error.startswith("graphkern train: error: ")
    assert re.search(message, error), error
    assert not (world / "never").exists()


@pytest.mark.parametrize("section, key", [("model", "dimension"), ("data", "on_bad_row"), (None, "modle")])
def test_unknown_keys_in_the_file_are_refused(world, tmp_path, capsys, section, key):
    settings = yaml.safe_load((world / "config.yaml").read_text())
    (settings[section] if section else settings)[key] = 1
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    error = fails(capsys, "train", "--config", tmp_path / "config.yaml")
    assert key in error
    assert "does not accept" in error or "not accepted" in error


def test_a_run_with_other_settings_is_neither_continued_nor_changed(run, world, capsys):
    before = (run / "config.yaml").read_text()
    error = fails(capsys, "train", "--config", world / "config.yaml", "--output", run, "--model.dim", "8")
    assert "was made with other data or settings: remove it, or choose another output folder" in error
    assert (run / "config.yaml").read_text() == before


def test_other_mistakes(run, tmp_path, capsys):
    assert "unknown command 'trian': one of data, train" in fails(capsys, "trian")
    assert "nowhere is not a run: it has no config.yaml" in fails(capsys, "evaluate", "--run", "nowhere")
    assert "unknown id 'nobody'; there are 80" in fails(capsys, "recommend", "--run", run, "--user", "nobody")
    assert "k must be at least 1 but is 0" in fails(capsys, "recommend", "--run", run, "--user", "u1", "--k", "0")
    assert "unknown dataset 'ml-1g'" in fails(capsys, "data", "ml-1g", "--out", tmp_path / "x")
    assert "config.yaml is not valid" in fails(capsys, "evaluate", "--run", _broken(tmp_path))
    assert "required" in fails(capsys, "train")
    assert "the following arguments are required: --run" in fails(capsys, "evaluate")
    assert "invalid int value: 'ten'" in fails(capsys, "recommend", "--run", run, "--user", "u1", "--k", "ten")


def _broken(folder):
    (folder / "config.yaml").write_text("data: 3\n")
    return folder


def test_it_runs_as_a_program():
    result = subprocess.run([sys.executable, "-m", "graphkern.cli", "trian"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("graphkern: error: unknown command 'trian'")
    result = subprocess.run([sys.executable, "-m", "graphkern.cli", "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert all(command in result.stdout for command in ("data", "train", "evaluate", "recommend", "doctor"))


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    assert "spmm" in capsys.readouterr().out
