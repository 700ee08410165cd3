"""Round-to-nearest: no weight moves by more than half a step, each group on its grid, embeddings left alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.quantised_weights import BITS, GROUP, Grid, quantise, rounded
from tests.models import tiny

grids = st.sampled_from(list(BITS))


@st.composite
def matrices(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 70)))
    scale = draw(st.floats(1e-6, 1e6))
    values = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 1000)))) * scale
    return values * (torch.rand(shape, generator=torch.Generator().manual_seed(1)) > draw(st.floats(0, 0.9)))


def groups(weight: torch.Tensor, grid: Grid) -> list[torch.Tensor]:
    return [part for row in weight for part in row.split(GROUP[grid] or len(row))]


@given(matrices(), grids)
@settings(deadline=None)
def test_no_weight_moves_by_more_than_half_a_step(weight: torch.Tensor, grid: Grid) -> None:
    after, top = rounded(weight, grid), 2 ** (BITS[grid] - 1) - 1
    assert after.shape == weight.shape
    assert after.dtype == weight.dtype
    for old, new in zip(groups(weight, grid), groups(after, grid), strict=True):
        largest = old.abs().max()
        assert float((new - old).abs().max()) <= float(largest) / top / 2 * (1 + 1e-5)
        assert float((new.abs().max() - largest).abs()) <= 1e-6 * float(largest)
        if largest > 0:
            on_grid = new.double() / largest.double() * top
            assert float((on_grid - on_grid.round()).abs().max()) < 1e-4
            assert len(on_grid.round().unique()) <= 2 * top + 1


@given(matrices(), grids)
@settings(deadline=None)
def test_what_is_on_the_grid_stays(weight: torch.Tensor, grid: Grid) -> None:
    once = rounded(weight, grid)
    assert torch.allclose(rounded(once, grid), once, rtol=1e-5)
    assert torch.equal(rounded(-weight, grid), -once)


def test_stacked_matrices_are_rounded_each_alone() -> None:
    stack = torch.randn(3, 5, 40)
    for grid in BITS:
        assert torch.equal(rounded(stack, grid), torch.stack([rounded(one, grid) for one in stack]))


def test_layers_are_quantised_and_ends_are_not() -> None:
    model, _ = tiny.reciting_model()
    before, after = dict(model.named_parameters()), copy.deepcopy(model)
    facts = quantise(after, "int4")
    changed = {name for name, weight in after.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {name for name in before if "_proj" in name}
    assert facts[0].value == len(changed) == 14
    assert facts[1].value == sum(before[name].numel() for name in changed)


def test_gpt2_s_turned_layers_are_rounded_along_their_inputs() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model: Any = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=16, n_embd=64, n_layer=1, n_head=2))
    before = copy.deepcopy(model)
    quantise(model, "int4")
    old, new = (one.transformer.h[0].mlp.c_fc.weight for one in (before, model))  # (inputs, outputs)
    assert torch.equal(new, rounded(old.detach().T, "int4").T)
    assert torch.equal(model.transformer.wpe.weight, before.transformer.wpe.weight)
    assert torch.equal(model.lm_head.weight, before.lm_head.weight)


def test_stacked_experts_are_not_left_out() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=2,
    )
    model: Any = MixtralForCausalLM(config)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    quantise(model, "int4")
    same = {name for name, weight in model.named_parameters() if torch.equal(weight, before[name])}
    assert not [name for name in same if "expert" in name]


def test_a_model_without_such_a_layer_is_an_error() -> None:
    class Ends(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(4, 4)

        def get_input_embeddings(self) -> torch.nn.Module:
            return self.embed

        def get_output_embeddings(self) -> None:
            return None

    with pytest.raises(MitigationFailedError, match="no linear layer"):
        quantise(Ends(), "int8")
