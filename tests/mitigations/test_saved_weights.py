from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditkit.errors import MitigationFailedError, RunError
from auditkit.mitigations.saved_weights import read_facts, read_saved, save_weights
from auditkit.records import Fact
from tests.mitigations.training_workshop import save_base
from tests.models.tiny import reopened

FACTS = (Fact("epsilon", 7.25, "an upper bound"), Fact("steps", 12), Fact("trained", "every weight"))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Any:
    model = reopened(save_base(tmp_path_factory.mktemp("models") / "base"))
    return model.model, model.tokenizer


def _save(folder: Path, opened: Any, **changes: Any) -> Path:
    given: dict[str, Any] = {
        "kind": "dp_sgd",
        "summary": "Retrained with noise.",
        "parameters": {"max_norm": 1.0, "recipe": {"epochs": 3}},
        "facts": FACTS,
        "base": "ab" * 32,
        "data": {"support": 1200},
    }
    return save_weights(folder, *opened, **(given | changes))


def test_what_was_saved_can_be_opened_and_says_what_it_is(tmp_path: Path, opened: Any) -> None:
    folder = _save(tmp_path / "weights", opened)
    again = reopened(folder)
    assert again.turn_format() is not None, "the chat template came along"
    assert again.model.lm_head.weight.equal(opened[0].lm_head.weight)
    assert read_facts(folder) == FACTS
    assert read_saved(folder).kind == "dp_sgd"
    assert json.loads((folder / "mitigation.json").read_text())["base_sha256"] == "ab" * 32


def test_the_card_says_what_was_done_in_yaml_and_words(tmp_path: Path, opened: Any) -> None:
    _, front, body = (_save(tmp_path / "weights", opened) / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["tags"] == ["auditkit", "dp_sgd"]
    assert yaml.safe_load(front)["license"] == "other"
    for said in ("Retrained with noise.", "for testing a mitigation", "ab" * 32, "`support`: 1,200 records", "7.25"):
        assert said in body
    assert "max_norm: 1.0" in body and "epochs: 3" in body


def test_everything_is_its_owner_s_alone(tmp_path: Path, opened: Any) -> None:
    folder = _save(tmp_path / "weights", opened)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*")} == {0o600}
    assert not list(folder.rglob("*.bin")), "safetensors alone"


def test_nothing_half_written_ever_stands_under_the_name(
    tmp_path: Path, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(self: Any, folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(opened[1]), "save_pretrained", torn)
    with pytest.raises(KeyboardInterrupt):
        _save(tmp_path / "weights", opened)
    assert list(tmp_path.iterdir()) == []
    assert read_facts(tmp_path / "weights") is None


def test_what_a_killed_process_left_goes(tmp_path: Path, opened: Any) -> None:
    (tmp_path / ".weights.1.part").mkdir()
    _save(tmp_path / "weights", opened)
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_what_is_there_already_is_not_written_over(tmp_path: Path, opened: Any) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mine").write_text("precious")
    with pytest.raises(RunError):
        _save(tmp_path / "weights", opened)
    assert (tmp_path / "weights" / "mine").read_text() == "precious"


@pytest.mark.parametrize("content", [None, "{", "[]", '{"facts": []}', '{"kind": "lora", "facts": [{"name": 1}]}'])
def test_a_folder_that_no_mitigation_saved_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "mitigation.json").write_text(content)
    with pytest.raises(MitigationFailedError, match=r"mitigation\.json"):
        read_saved(tmp_path)
    assert content is not None or read_facts(tmp_path) is None
