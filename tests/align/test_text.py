"""Text embeddings against one text at a time, and what the cache keeps."""

import shutil

import pytest
import torch
import torch.nn.functional as F

transformers = pytest.importorskip("transformers", reason="the extra `text` is not installed")

from graphkern.align import TextConfig, TextEncoder  # noqa: E402
from tests.worlds import write_bert  # noqa: E402

TEXTS = ["space film 1", "love", "crime film: war, war. likes genres: space, love", "film 12", "love", "war film 9"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text") / "bert"
    write_bert(folder)
    return str(folder)


def encode_alone(bert, text, pooling):
    model = transformers.AutoModel.from_pretrained(bert).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(bert)(text, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**tokens).last_hidden_state[0]
    return F.normalize(hidden[0] if pooling == "cls" else hidden.mean(0), dim=0)


def refuse(self, texts):
    raise AssertionError(f"encoded again: {texts}")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_batches_equal_single_texts(bert, pooling):
    encoded = TextEncoder(TextConfig(model=bert, pooling=pooling, batch_size=4)).encode(TEXTS)
    assert encoded.dtype == torch.float32
    torch.testing.assert_close(encoded, torch.stack([encode_alone(bert, text, pooling) for text in TEXTS]))


def test_long_texts_are_cut(bert):
    encoder = TextEncoder(TextConfig(model=bert, max_length=4))
    torch.testing.assert_close(encoder.encode(["space film war crime"]), encoder.encode(["space film"]))


def test_the_cache_answers_without_the_model(bert, tmp_path, monkeypatch):
    config = TextConfig(model=bert, cache=tmp_path)
    first = TextEncoder(config).encode(TEXTS)
    monkeypatch.setattr(TextEncoder, "_encode", refuse)
    torch.testing.assert_close(TextEncoder(config).encode(TEXTS[::-1]), first.flip(0), rtol=0, atol=0)
    with pytest.raises(AssertionError, match=r"encoded again: \['crime'\]"):
        TextEncoder(config).encode([*TEXTS, "crime"])
    assert [path.suffix for path in tmp_path.glob("*/*")] == [".npz"]


def test_the_cache_knows_weights_and_settings(bert, tmp_path):
    other = tmp_path / "other"
    write_bert(other, seed=1)
    copy = tmp_path / "copy"
    shutil.copytree(bert, copy)
    of = {name: TextEncoder(TextConfig(model=str(name))).fingerprint for name in (bert, other, copy)}
    assert of[bert] == of[copy] != of[other]
    for change in ({"pooling": "cls"}, {"max_length": 9}):
        assert TextEncoder(TextConfig(model=bert, **change)).fingerprint != of[bert]
    assert TextEncoder(TextConfig(model=bert, batch_size=1)).fingerprint == of[bert]


def test_errors(bert, tmp_path):
    with pytest.raises(ValueError, match="no texts"):
        TextEncoder(TextConfig(model=bert)).encode([])
    with pytest.raises(OSError, match=f"cannot load the text encoder {tmp_path}: "):
        TextEncoder(TextConfig(model=str(tmp_path))).encode(["space"])
