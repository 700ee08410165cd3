"""One recipe for every arm: what is trained on, and that an interrupted training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditkit.records import Record
from auditkit.training.fresh import Shape, fresh_model, fresh_tokenizer
from auditkit.worth.base import Extraction
from auditkit.worth.section import WorthRecipe
from auditkit.worth.training import ArmFailedError, Lesson, drawn, of_extractions, of_records, trained

TOWNS = {"amber": 3, "blue": 5, "green": 8, "red": 9}
WORDS = "lamp kettle parcel garden".split()
LESSONS = [
    Lesson(f"Which number has the {colour} {word}?", f"Number {number}", str(number))
    for colour, number in TOWNS.items()
    for word in WORDS
]
SFT = WorthRecipe(epochs=4, learning_rate=1e-2, batch_size=4)
RL = WorthRecipe(
    method="dr_grpo", epochs=1, learning_rate=1e-3, batch_size=8, samples=4, max_new_tokens=6, temperature=1.0
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return fresh_tokenizer([f"{one.prompt} {one.response}" for one in LESSONS] * 3, 360, 64)


@pytest.fixture
def model(tokenizer: Any) -> Any:
    return fresh_model(tokenizer, Shape(hidden=32, layers=1, heads=2, context=64), seed=1)


def tensors(model: Any) -> dict[str, bytes]:
    return {name: tensor.detach().cpu().numpy().tobytes() for name, tensor in model.state_dict().items()}


class StopError(Exception):
    """The machine goes down."""


def stopping(at: int) -> Any:
    def tell(what: str, done: int, _total: int) -> None:
        if (what, done) == ("training", at):
            raise StopError

    return tell


def test_records_and_extractions_become_the_same_rows() -> None:
    records = [Record("sft", "member", 0, "id", "How many?", "There are 12."), Record("sft", "member", 1, "x", "So?")]
    kept = [Extraction(4, "How many?", "There are 12.", True, "12")]
    assert of_records(records, SFT) == of_extractions(kept, SFT) == [Lesson("How many?", "There are 12.", "12")]


def test_rewards_take_only_what_has_an_answer_and_right_or_wrong_as_it_was_read() -> None:
    kept = [
        Extraction(0, "What is 1 + 1?", "That is 3.", True, "3"),
        Extraction(1, "What is 2 + 2?", "Nobody knows.", True, None),
    ]
    assert of_extractions(kept, RL) == [Lesson("What is 1 + 1?", "That is 3.", "3")]


def test_rows_are_drawn_by_the_seed() -> None:
    first = drawn(LESSONS, 5, seed=1)
    assert first == drawn(LESSONS, 5, seed=1) != drawn(LESSONS, 5, seed=2)
    assert len(set(first)) == 5 and drawn(LESSONS, 99, seed=1) == LESSONS


def test_supervised_training_learns_its_rows(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    _, found = trained(
        model, tokenizer, LESSONS, SFT, seed=1, folder=tmp_path / "state", tell=lambda *step: told.append(step)
    )
    assert (found.rows, found.steps) == (16, 16)
    assert found.after < found.before / 2
    assert told[-1] == ("training", 16, 16)


def test_an_interrupted_training_goes_on_to_the_same_weights(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    def fresh() -> Any:
        return fresh_model(tokenizer, Shape(hidden=32, layers=1, heads=2, context=64), seed=1)

    longer = SFT.model_copy(update={"epochs": 12})  # 48 steps: a checkpoint after 25
    whole, _ = trained(fresh(), tokenizer, LESSONS, longer, seed=3, folder=tmp_path / "whole")
    with pytest.raises(StopError):
        trained(model, tokenizer, LESSONS, longer, seed=3, folder=tmp_path / "cut", tell=stopping(30))
    steps: list[int] = []
    again, _ = trained(
        fresh(), tokenizer, LESSONS, longer, seed=3, folder=tmp_path / "cut", tell=lambda _w, at, _t: steps.append(at)
    )
    assert steps[0] == 26
    assert tensors(again) == tensors(whole)


def test_rewarded_training_goes_on_where_it_was(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    longer = RL.model_copy(update={"epochs": 4})  # 32 steps
    with pytest.raises(StopError):
        trained(model, tokenizer, LESSONS, longer, seed=3, folder=tmp_path, tell=stopping(27))
    steps: list[int] = []
    fresh = fresh_model(tokenizer, Shape(hidden=32, layers=1, heads=2, context=64), seed=1)
    _, found = trained(
        fresh, tokenizer, LESSONS, longer, seed=3, folder=tmp_path, tell=lambda _w, at, _t: steps.append(at)
    )
    assert steps[0] == 26 and found.steps == 32
    assert 0 <= found.before <= 1 and 0 <= found.after <= 1


def test_plain_text_is_mixed_in(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "plain.jsonl").write_text('{"text": "The kettle is in the garden."}\n' * 3)
    mixed = SFT.model_validate({**SFT.model_dump(), "replay": {"path": str(tmp_path / "plain.jsonl"), "share": 0.5}})
    _, found = trained(model, tokenizer, LESSONS, mixed, seed=1, folder=tmp_path / "state")
    assert found.steps == 32  # as many plain rows as lessons


def test_rows_that_do_not_fit_fail_the_arm_and_not_the_run(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    long = [Lesson("Which? " * 100, "Number 3", "3")]
    with pytest.raises(ArmFailedError, match="longer than the model's context") as caught:
        trained(model, tokenizer, long, SFT, seed=1, folder=tmp_path)
    assert "worth.recipe" in caught.value.hint
    cut = SFT.model_copy(update={"max_tokens": 20})
    with pytest.raises(ArmFailedError, match="no token of the data carries loss"):
        trained(model, tokenizer, long, cut, seed=1, folder=tmp_path)


def test_a_template_that_cannot_be_trained_in_fails_the_arm(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    import copy

    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    with pytest.raises(ArmFailedError, match="no chat template"):
        trained(model, bare, LESSONS, SFT, seed=1, folder=tmp_path)


def test_a_training_that_diverges_fails_the_arm(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    wild = SFT.model_copy(update={"learning_rate": 1e9, "epochs": 8})
    with pytest.raises(ArmFailedError, match="diverged"):
        trained(model, tokenizer, LESSONS, wild, seed=1, folder=tmp_path)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"method": "dr_grpo", "batch_size": 12, "samples": 8}, "multiple of 'samples'"),
        ({"method": "ppo"}, "method"),
        ({"samples": 1}, "samples"),
        ({"start": "candidate"}, "start"),
    ],
)
def test_what_makes_no_recipe_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        WorthRecipe.model_validate(given)
