"""Weights made elsewhere: found beside the policy, checked, and described in the user's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.checkpoint import Checkpoint
from tests.mitigations.weights_workshop import logprobs, make, reciting, workshop
from tests.models import tiny

PINNED = "hub://org/name@" + "0123456789abcdef" * 2 + "01234567"


def section(**given: Any) -> Checkpoint:
    plain = {"kind": "checkpoint", "name": "ours", "path": "elsewhere", "described": "DPO against the leaked records"}
    return Checkpoint.model_validate(plain | given)


def test_the_weights_elsewhere_are_the_arm_s(tmp_path: Path) -> None:
    candidate = reciting(tmp_path / "post")
    _, tokenizer = tiny.reciting_model()
    tiny.save(tmp_path / "elsewhere", tiny.build_model(len(tokenizer), seed=4), tokenizer)
    made = make(section().resolved(tmp_path), workshop(tmp_path / "run", candidate))
    assert made.facts[0].value == "DPO against the leaked records"
    identity = made.backend.preflight("candidate").identity
    assert identity is not None
    assert made.facts[1].value == identity.sha256
    assert (logprobs(made.backend) < logprobs(candidate)).all()


def test_relative_paths_are_the_policy_s_and_a_hub_s_place_stays(tmp_path: Path) -> None:
    assert section().resolved(tmp_path).path == str(tmp_path / "elsewhere")
    assert section(path="/x/y.gguf").resolved(tmp_path).path == "/x/y.gguf"
    assert section(path=PINNED).resolved(tmp_path).path == PINNED


def test_a_hub_checkpoint_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    candidate = reciting(tmp_path / "post")
    monkeypatch.setattr(type(candidate), "fetch", lambda self: asked.append(self.path))
    found = candidate.preflight("candidate")
    monkeypatch.setattr(type(candidate), "preflight", lambda self, role: found)
    made = make(section(path=PINNED), workshop(tmp_path / "run", candidate))
    assert asked == [PINNED]
    assert made.backend.path == PINNED  # type: ignore[attr-defined]


def test_what_is_not_there_or_no_model_is_a_failed_arm(tmp_path: Path) -> None:
    candidate = reciting(tmp_path / "post")
    (tmp_path / "elsewhere").mkdir()
    for path in ("nowhere", "elsewhere"):
        with pytest.raises(MitigationFailedError) as failed:
            make(section(path=path).resolved(tmp_path), workshop(tmp_path / "run", candidate))
        assert failed.value.hint


@pytest.mark.parametrize("given", [{"path": "hub://org/name"}, {"described": ""}, {"path": ""}, {"other": 1}])
def test_what_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section(**given)
