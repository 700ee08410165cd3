"""Licence and architecture as a model declares them: whatever the card holds, an audit goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditkit.models.model_card import MOST_READ, declared
from auditkit.models.weights import identity
from tests.models.test_weights import folder  # noqa: F401  # a fixture


def card(place: Path, front_matter: str) -> Path:
    place.mkdir(exist_ok=True)
    (place / "README.md").write_text(f"---\n{front_matter}\n---\n# A model\n", encoding="utf-8")
    return place


@pytest.mark.parametrize(
    ("front_matter", "licence"),
    [
        ("license: apache-2.0", "apache-2.0"),
        ("language: en\nlicense: mit\ntags: [a, b]", "mit"),
        ("license: [mit, apache-2.0]", "mit, apache-2.0"),
        ("license: other\nlicense_name: llama3.1\nlicense_link: LICENSE", "llama3.1"),
        ("license_name: example", "example"),
        ("license: 'two\n\n  lines'", "two lines"),
        ('license: "a\\u202Eb"', "a\\u202eb"),
        ("license: 2024-99-99", "2024-99-99"),
        ("license: {a: b}", ""),
        ("language: en", ""),
        ("", ""),
        ("- a list", ""),
        ("license: [mit", ""),
        ("license: !!python/object/apply:os.system [id]", "id"),  # a list of texts; nothing is made of the tag
        ("a: &a [x]\nlicense: *a", ""),
        ("a: " + "[" * 30_000, ""),
        ("license: " + "x" * 300, "x" * 200),
    ],
)
def test_the_front_matter_names_the_licence(tmp_path: Path, front_matter: str, licence: str) -> None:
    assert declared(card(tmp_path / "model", front_matter))[0] == licence


def test_billion_laughs_are_not_laughed_at(tmp_path: Path) -> None:
    laughs = ["a0: &a0 [lol]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert declared(card(tmp_path / "model", "license: mit\n" + "\n".join(laughs)))[0] == ""


@pytest.mark.parametrize("content", [b"", b"# no front matter", b"---\nlicense: mit\nno end", b"\xff\xfe\x00---\n"])
def test_a_card_without_front_matter_declares_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "README.md").write_bytes(content)
    assert declared(tmp_path)[0] == ""


def test_only_the_beginning_is_read(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nfiller: " + "x" * MOST_READ + "\nlicense: mit\n---\n")
    assert declared(tmp_path)[0] == ""
    (tmp_path / "README.md").write_text("---\r\nlicense: mit\r\n---\r\n" + "x" * 10 * MOST_READ)
    assert declared(tmp_path)[0] == "mit"


def test_a_card_that_is_no_ordinary_file_declares_nothing(tmp_path: Path) -> None:
    outside = tmp_path / "outside.md"
    outside.write_text("---\nlicense: mit\n---\n")
    model = tmp_path / "model"
    model.mkdir()
    (model / "README.md").symlink_to(outside)
    assert declared(model)[0] == ""
    (model / "README.md").unlink()
    (model / "README.md").mkdir()
    assert declared(model)[0] == ""


@pytest.mark.parametrize(
    ("config", "architecture"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM"),
        ({"architectures": []}, ""),
        ({"architectures": "Llama"}, ""),
        ({"architectures": [7]}, ""),
        ({}, ""),
    ],
)
def test_the_architecture_is_the_configurations(tmp_path: Path, config: object, architecture: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert declared(tmp_path)[1] == architecture


def test_it_stands_in_the_identity_and_in_no_digest(folder: Path) -> None:  # noqa: F811
    before = identity(folder, "candidate", "transformers")
    card(folder, "license: apache-2.0")
    after = identity(folder, "candidate", "transformers")
    assert (before.licence, after.licence) == ("", "apache-2.0")
    assert (before.sha256, before.files) == (after.sha256, after.files)
