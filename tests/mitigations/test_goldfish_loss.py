from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.mitigations.retraining import TrainingMitigation
from tests.mitigations.training_workshop import declared, mitigation, save_base, value, workshop

LONG = [(f"What is {at}?", " ".join(str((at * step) % 97) for step in range(12))) for at in range(20)]


@pytest.mark.parametrize("mask", ["hash", "static"])
def test_a_k_th_of_the_tokens_is_left_out_and_the_facts_say_how_many(tmp_path: Path, mask: str) -> None:
    base = save_base(tmp_path / "base")
    shop = workshop(tmp_path, base, datasets=[declared(LONG, clusters=range(20))])
    facts = mitigation("goldfish_loss", k=3, mask=mask, recipe={"epochs": 2, "batch_size": 8}).make(shop).facts
    assert value(facts, "left out of the loss") == pytest.approx(1 / 3, abs=0.06)


@pytest.mark.slow
def test_what_is_left_out_is_learnt_worst(tmp_path: Path) -> None:
    """A model trained by goldfish loss guesses the tokens that it was never taught."""
    from auditkit.training.evaluation import mean_loss
    from auditkit.training.rows import Row
    from tests.models.tiny import reopened

    base = save_base(tmp_path / "base")
    shop = workshop(tmp_path, base, datasets=[declared(LONG, clusters=range(20))])
    arm = mitigation("goldfish_loss", k=3, recipe={"epochs": 40, "batch_size": 8})
    assert isinstance(arm, TrainingMitigation)
    opened = reopened(arm.make(shop).backend.path)  # type: ignore[attr-defined]
    examples, _ = arm.examples(shop)
    taught = [row for one in examples for row in arm.rows(opened.tokenizer, [one], 0, None)]  # type: ignore[arg-type]
    untaught = [
        Row(row.ids, row.silent, frozenset(range(row.silent, len(row.ids))) - row.dropped)
        for row in taught
        if row.dropped
    ]
    assert mean_loss(opened.model, untaught, 0, 8) > mean_loss(opened.model, taught, 0, 8) + 0.4
