"""sentence-transformers models: local, pinned, without pickles and without foreign code."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.errors import MissingExtraError, ModelError
from auditkit.scoring.embedders.sentence_embedder import SentenceTransformersEmbedder
from tests.scoring.embedders.tiny_sentence_model import write_tiny_model

TEXTS = ["a parcel came late", "", "short", "a longer text about refunds that were never paid " * 3, "short"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "copy"))


def embedder(path: object, **options: object) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder.model_validate({"kind": "sentence_transformers", "path": str(path), **options})


def test_gives_the_vectors_of_the_library_itself(model: Path) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(model), device="cpu").encode(TEXTS, normalize_embeddings=True)
    ours = embedder(model).embed(TEXTS)
    np.testing.assert_allclose(ours[[0, 2, 3, 4]], np.asarray(theirs)[[0, 2, 3, 4]], atol=1e-5)
    assert not ours[1].any()


def test_only_empty_texts_give_zero_rows(model: Path) -> None:
    assert embedder(model).embed(["", ""]).shape == (2, 32)


def test_max_length_cuts_the_text(model: Path) -> None:
    long = TEXTS[3]
    whole, cut = embedder(model), embedder(model, max_length=8)
    assert whole.embed([long])[0] @ cut.embed([long])[0] < 0.999
    assert whole.digest != cut.digest


def test_a_plain_transformers_folder_is_mean_pooled(model: Path) -> None:
    found = embedder(model.parent / "bert").embed(["a text"])
    np.testing.assert_allclose(found, embedder(model).embed(["a text"]), atol=1e-5)


def test_any_byte_of_the_model_changes_the_digest(model: Path, copy: Path) -> None:
    assert embedder(copy).digest == embedder(model).digest
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    other = Path(shutil.copytree(copy, copy.parent / "other"))
    (other / "model.safetensors").write_bytes(weights)
    assert embedder(other).digest != embedder(model).digest


def test_pickle_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        embedder(copy).embed(["a"])


def test_a_pickled_part_is_refused(copy: Path) -> None:
    (copy / "2_Dense").mkdir()
    (copy / "2_Dense" / "pytorch_model.bin").write_bytes(b"not opened")
    with pytest.raises(ModelError, match="2_Dense"):
        embedder(copy).embed(["a"])


@pytest.mark.parametrize("modules", [[{"idx": 0, "name": "0", "path": "", "type": "os.system"}], {"a": 1}, [1]])
def test_foreign_modules_are_refused(copy: Path, modules: object) -> None:
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match=r"modules\.json"):
        embedder(copy).embed(["a"])


def test_weights_that_are_not_numbers_are_refused(copy: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    name = next(key for key in tensors if key.endswith("word_embeddings.weight"))
    tensors[name][:] = np.nan
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="not finite"):
        embedder(copy).embed(["a"])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        embedder(tmp_path / "nowhere").embed(["a"])
    with pytest.raises(ModelError, match="nowhere"):
        _ = embedder(tmp_path / "nowhere").digest


def test_a_hub_model_needs_its_commit() -> None:
    with pytest.raises(ValidationError, match="pin the revision"):
        embedder("hub://org/name@main")
    pinned = f"hub://org/name@{'a' * 40}"
    assert embedder(pinned).resolved(Path("/policies")).path == pinned


def test_a_hub_model_that_cannot_be_had_says_how_to_get_it() -> None:
    with pytest.raises(ModelError, match="hf download org/name"):
        embedder(f"hub://org/name@{'a' * 40}").embed(["a"])


def test_relative_paths_belong_to_the_policy(tmp_path: Path) -> None:
    assert embedder("weights/mini").resolved(tmp_path).path == str(tmp_path / "weights/mini")
    assert embedder("/weights/mini").resolved(tmp_path).path == "/weights/mini"


def test_without_the_library_the_error_names_the_extra(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"auditkit\[sentence-transformers\]"):
        embedder(copy).embed(["a"])
