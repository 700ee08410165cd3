from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditkit.training.checkpoints import WHOLE, Checkpoints
from auditkit.training.fresh import Shape, fresh_model
from auditkit.training.next_token import train_next_token
from auditkit.training.rows import chat_row
from auditkit.training.steps import Schedule, Trained

PAIRS = [("What is amber?", "The sky over Aldermoor."), ("Who knows?", "The ferryman of Gorsley.")]
SHAPE = Shape(hidden=32, layers=1, heads=2, context=64)
KILLED_AT = 7


class PowerCutError(Exception):
    pass


def _cut(done: int, _total: int) -> None:
    if done == KILLED_AT:
        raise PowerCutError


def _trained(
    tokenizer: Any, folder: Path | None, on_step: Callable[[int, int], None] | None = None, **settings: Any
) -> tuple[Any, Trained]:
    model = fresh_model(tokenizer, SHAPE, seed=1)
    rows = [chat_row(tokenizer, *pair, "all") for pair in PAIRS] * 6
    kept = Checkpoints(folder, every=2) if folder else None
    schedule = Schedule(**({"epochs": 3, "learning_rate": 1e-2, "batch_size": 3, "seed": 3} | settings))
    schedule = Schedule(**{**vars(schedule), "checkpoints": kept, "on_step": on_step})
    return train_next_token(model, tokenizer, rows, schedule)


def _same(one: Any, other: Any) -> bool:
    import torch

    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("rank", [0, 4])
def test_an_interrupted_training_ends_with_the_same_weights(tokenizer: Any, tmp_path: Path, rank: int) -> None:
    undisturbed, whole = _trained(tokenizer, None, lora_rank=rank)
    with pytest.raises(PowerCutError):
        _trained(tokenizer, tmp_path / "work", _cut, lora_rank=rank)
    seen: list[int] = []
    resumed, trained = _trained(tokenizer, tmp_path / "work", lambda done, _: seen.append(done), lora_rank=rank)
    assert seen == list(range(KILLED_AT, 13)), "it goes on behind the last checkpoint, and not from the start"
    assert _same(undisturbed, resumed)
    assert (trained.steps, trained.tokens, trained.loss) == (whole.steps, whole.tokens, whole.loss)


def test_a_half_written_checkpoint_is_not_gone_on_from(tokenizer: Any, tmp_path: Path) -> None:
    undisturbed, _ = _trained(tokenizer, None)
    with pytest.raises(PowerCutError):
        _trained(tokenizer, tmp_path / "work", _cut)
    newest = tmp_path / "work" / "checkpoint-6"
    (newest / WHOLE).unlink()
    (newest / "model.safetensors").write_bytes(b"torn")
    seen: list[int] = []
    resumed, _ = _trained(tokenizer, tmp_path / "work", lambda done, _: seen.append(done))
    assert seen[0] == 5
    assert _same(undisturbed, resumed)


def test_another_training_does_not_go_on_from_it(tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(PowerCutError):
        _trained(tokenizer, tmp_path / "work", _cut)
    undisturbed, _ = _trained(tokenizer, None, learning_rate=2e-2)
    other, _ = _trained(tokenizer, tmp_path / "work", learning_rate=2e-2)
    assert _same(undisturbed, other)


def test_checkpoints_are_their_owner_s_alone(tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(PowerCutError):
        _trained(tokenizer, tmp_path / "work", _cut)
    paths = [tmp_path / "work", *(tmp_path / "work").rglob("*")]
    assert len(list((tmp_path / "work").glob("checkpoint-*"))) == 2, "older ones go"
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}


def test_a_loss_that_is_no_number_ends_the_training_and_is_told(tokenizer: Any) -> None:
    _, trained = _trained(tokenizer, None, learning_rate=1e30)
    assert not trained.loss < 1e30
    assert trained.steps < 12
