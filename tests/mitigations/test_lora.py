from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.mitigations.training_workshop import mitigation, save_base, value, weights, workshop


def test_an_adapter_is_learnt_and_merged(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    made = mitigation("lora", rank=4, recipe={"learning_rate": 3e-2}).make(workshop(tmp_path, base))
    assert value(made.facts, "trained") == "LoRA of rank 4"
    before, after = weights(base), weights(tmp_path / "arm" / "weights")
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed and all(name.endswith("_proj.weight") for name in changed), "embeddings and norms stay"


def test_one_rank_is_enough() -> None:
    with pytest.raises(ValidationError, match="give 'rank' here"):
        mitigation("lora", recipe={"lora_rank": 8})
