from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opacus")

from auditkit.training.checkpoints import Checkpoints
from auditkit.training.evaluation import mean_loss
from auditkit.training.fresh import Shape, fresh_model
from auditkit.training.privacy import Privacy
from auditkit.training.private_steps import private_steps, train_privately
from auditkit.training.rows import Row, plain_row
from auditkit.training.steps import Schedule

SHAPE = Shape(hidden=32, layers=1, heads=2, context=64)
CLEAR = Privacy(1e-6, 1e6, b"key")


@pytest.fixture
def rows(tokenizer: Any) -> list[Row]:
    return [plain_row(tokenizer, f"The sky over {at} is amber.") for at in range(12)]


def _weights(model: Any) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def test_without_noise_or_clipping_it_learns_as_any_training_does(model: Any, tokenizer: Any, rows: list[Row]) -> None:
    before = mean_loss(model, rows, 0, 4)
    trained, done = train_privately(model, tokenizer, rows, Schedule(10, 1e-2, 4, seed=3), CLEAR)
    assert mean_loss(trained, rows, 0, 4) < before - 1
    assert done.trained.steps == 30 and done.frozen == ()
    assert done.weights == sum(weight.numel() for weight in trained.parameters())


def test_no_single_record_can_move_the_weights_by_more_than_the_norm(tokenizer: Any, rows: list[Row]) -> None:
    """Plain steps, so that one step moves the weights by rate times the clipped gradient, over the batch size."""
    import torch

    from auditkit.training import private_steps as module

    def moved(norm: float) -> float:
        model = fresh_model(tokenizer, SHAPE, seed=1).train()
        loop = module._Loop(model, rows[:1], Schedule(1, 1e-2, 1, seed=3), Privacy(1e-9, norm, b"key"), 0)
        loop.optimiser.original_optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        start = torch.cat([weight.detach().flatten().clone() for weight in model.parameters()])
        with module._record_gradients(model):
            loop._gradients(rows[:1])
            loop.optimiser.step()
        end = torch.cat([weight.detach().flatten() for weight in model.parameters()])
        return float((end - start).norm())

    assert moved(0.1) == pytest.approx(0.1, rel=1e-3)
    assert moved(1e-3) == pytest.approx(1e-3, rel=1e-2)


def test_how_many_records_are_held_at_once_changes_nothing(tokenizer: Any, rows: list[Row]) -> None:
    import torch

    def trained(size: int) -> Any:
        model = fresh_model(tokenizer, SHAPE, seed=1)
        privacy = Privacy(0.5, 1.0, b"key", rows_at_once=size)
        return train_privately(model, tokenizer, rows, Schedule(2, 1e-2, 6, seed=3), privacy)[0]

    one, other = trained(2), trained(12)
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=2e-3)


@pytest.mark.parametrize("rank", [0, 4])
def test_an_interrupted_training_ends_with_the_same_weights(
    tokenizer: Any, rows: list[Row], tmp_path: Path, rank: int
) -> None:
    class PowerCutError(Exception):
        pass

    def cut(done: int, _: int) -> None:
        if done == 7:
            raise PowerCutError

    def trained(on_step: Any, kept: Checkpoints | None) -> Any:
        model = fresh_model(tokenizer, SHAPE, seed=1)
        schedule = Schedule(3, 1e-2, 4, seed=3, lora_rank=rank, on_step=on_step, checkpoints=kept)
        return train_privately(model, tokenizer, rows, schedule, Privacy(0.5, 1.0, b"key", rows_at_once=2))

    whole, done = trained(None, None)
    kept, seen = Checkpoints(tmp_path / "work", every=2), []
    with pytest.raises(PowerCutError):
        trained(cut, kept)
    resumed, again = trained(lambda step, _: seen.append(step), kept)
    assert seen == [7, 8, 9]
    assert _weights(whole) == _weights(resumed)
    assert (done.trained.loss, done.trained.tokens) == (again.trained.loss, again.trained.tokens)
    assert (tmp_path / "work" / "state.pt").stat().st_mode & 0o777 == 0o600


def test_weights_whose_gradients_cannot_be_told_apart_are_frozen_and_named(tokenizer: Any, rows: list[Row]) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    shape: dict[str, Any] = {"n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape))
    before = _weights(model)
    trained, done = train_privately(model, tokenizer, rows, Schedule(2, 1e-2, 6, seed=3), Privacy(0.5, 1.0, b"key"))
    assert done.frozen == ("transformer.wpe.weight",)
    changed = {name for name, value in _weights(trained).items() if value != before[name]}
    assert "transformer.wpe.weight" not in changed and "transformer.wte.weight" in changed


def test_what_opacus_left_in_the_model_is_gone(model: Any, tokenizer: Any, rows: list[Row], tmp_path: Path) -> None:
    names = set(vars(model))
    trained, _ = train_privately(model, tokenizer, rows, Schedule(1, 1e-2, 6, seed=3), CLEAR)
    assert set(vars(trained)) == names
    assert not any("grad_sample" in vars(weight) for weight in trained.parameters())
    trained.save_pretrained(tmp_path)


@pytest.mark.parametrize(("records", "size", "epochs"), [(100, 10, 3), (5, 8, 2), (7, 2, 1)])
def test_steps_see_each_record_once_an_epoch_on_average(records: int, size: int, epochs: int) -> None:
    rate, steps = private_steps(records, Schedule(epochs, 1e-3, size, seed=0))
    assert 0 < rate <= 1
    assert rate * steps == pytest.approx(epochs, abs=0.5 * rate)
