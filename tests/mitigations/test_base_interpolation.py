"""Interpolation: its ends are the two models to the bit, its middle lies between, and strangers are refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Workshop
from auditkit.mitigations.base_interpolation import BaseInterpolation, interpolate
from auditkit.models.base import ModelBackend
from tests.mitigations.weights_workshop import fact, logprobs, make, of_arm, open_files, reciting, workshop
from tests.models import tiny


def section(*shares: float, **given: Any) -> BaseInterpolation:
    return BaseInterpolation.model_validate(
        {"kind": "base_interpolation", "name": "back", "shares": list(shares)} | given
    )


def random_base(folder: Path, **changes: Any) -> ModelBackend:
    _, tokenizer = tiny.reciting_model()
    return tiny.backend(tiny.save(folder, tiny.build_model(len(tokenizer), seed=9, **changes), tokenizer))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("interpolation")
    return workshop(folder / "run", reciting(folder / "post"), random_base(folder / "base"))


def weights(backend: ModelBackend) -> dict[str, torch.Tensor]:
    with backend.open("candidate") as model:
        found: dict[str, torch.Tensor] = model.model.state_dict()  # type: ignore[attr-defined]
        return found


def test_the_ends_are_the_two_models_and_the_middle_is_between(shop: Workshop) -> None:
    assert shop.base is not None
    post, base = weights(shop.candidate), weights(shop.base)
    start, middle, end = (make(arm, shop) for arm in section(0, 0.25, 1).arms())
    for name, values in weights(start.backend).items():
        assert torch.equal(values, post[name])
    for name, values in weights(end.backend).items():
        assert torch.equal(values, base[name])
    for name, values in weights(middle.backend).items():
        assert torch.allclose(values, 0.75 * post[name] + 0.25 * base[name], atol=1e-6)
    assert (logprobs(start.backend) > logprobs(middle.backend)).all()
    assert fact(middle, "share of the base") == 0.25
    assert fact(start, "distance") == fact(end, "distance") > 0


def test_an_arm_a_share_each_in_its_folder(shop: Workshop) -> None:
    arms = section(0.5, 0.125).arms()
    assert [arm.label for arm in arms] == ["back-0.5", "back-0.125"]
    made = make(arms[0], shop)
    file = of_arm(shop, arms[0]).folder / "weights" / "model.safetensors"
    written = file.stat().st_mtime_ns
    assert make(arms[0], shop) == made
    assert file.stat().st_mtime_ns == written
    assert not open_files(shop.folder.parent)


def test_shared_weights_move_once_and_what_is_no_float_is_the_nearer_one_s() -> None:
    class Net(torch.nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.one = torch.nn.Linear(1, 1, bias=False)
            self.two = torch.nn.Linear(1, 1, bias=False)
            torch.nn.init.constant_(self.one.weight, value)
            self.two.weight = self.one.weight
            self.register_buffer("steps", torch.tensor(int(value)))
            self.register_buffer("mean", torch.tensor(value))
            self.register_buffer("passing", torch.tensor(value), persistent=False)

    for share, steps in ((0.25, 8), (0.75, 4)):
        post = Net(8.0)
        interpolate(post, Net(4.0), share)
        assert post.two.weight.item() == pytest.approx(8 - 4 * share)
        assert post.state_dict()["mean"].item() == pytest.approx(8 - 4 * share)
        assert post.state_dict()["steps"].item() == steps
        assert post.get_buffer("passing").item() == 8


def test_a_base_of_another_shape_vocabulary_or_kind_is_refused(shop: Workshop, tmp_path: Path) -> None:
    _, tokenizer = tiny.reciting_model()
    wider = copy.deepcopy(tokenizer)
    wider.add_tokens(["<|more|>"])
    size = len(tokenizer)
    bases = {
        "shape of": tiny.save(tmp_path / "long", tiny.build_model(size + 1), tokenizer),
        "tokens, the base's": tiny.save(tmp_path / "wide", tiny.build_model(size), wider),
    }
    for said, folder in bases.items():
        with pytest.raises(MitigationFailedError, match=said):
            make(section(0.5).arms()[0], workshop(tmp_path / "run", shop.candidate, tiny.backend(folder)))
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    other = tiny.save(tmp_path / "other", MistralForCausalLM(config), tokenizer)
    with pytest.raises(MitigationFailedError, match="is a llama, the base a mistral"):
        make(section(0.5).arms()[0], workshop(tmp_path / "run", shop.candidate, tiny.backend(other)))


def test_without_a_base_it_fails_plainly(shop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(MitigationFailedError, match="no base"):
        make(section(0.5).arms()[0], workshop(tmp_path, shop.candidate))


@pytest.mark.parametrize("shares", [[], [1.5], [-0.1], [0.5, 0.5]])
def test_shares_are_different_and_between_the_two(shares: list[float]) -> None:
    with pytest.raises(ValidationError):
        section(*shares)
