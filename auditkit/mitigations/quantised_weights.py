"""Round-to-nearest: weights on a grid of 8 or 4 bits, written back as the numbers that the grid stands for.

A kernel that keeps only the weights on the grid multiplies with exactly these numbers (in the model's own type), so a
dense model that holds them behaves as the quantised one does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from auditkit.errors import MitigationFailedError
from auditkit.records import Fact

if TYPE_CHECKING:
    from torch import Tensor

Grid = Literal["int8", "int4"]
BITS: dict[Grid, int] = {"int8": 8, "int4": 4}
GROUP: dict[Grid, int] = {"int8": 0, "int4": 32}  # weights that share a scale; 0: all that make up one output


@dataclass(frozen=True)
class _Matrix:
    """A parameter that is multiplied with activations; ``turned`` where its first axis is the inputs, not its last."""

    name: str
    weight: Any
    turned: bool


def quantise(model: Any, grid: Grid) -> tuple[Fact, ...]:
    """Round every weight matrix of a model's layers, in place; what was done.

    Embeddings, the output layer, norms and biases stay as they are, as is usual. Where embeddings and output layer are
    one, so do both.

    Raises:
        MitigationFailedError: the model has no such matrix.
    """
    import torch

    matrices = list(_matrices(model))
    if not matrices:
        hint = "quantise it elsewhere and give the weights as kind: checkpoint"
        raise MitigationFailedError("no linear layer is known in this model, so nothing was quantised", hint)
    moved, size = 0.0, 0.0
    with torch.no_grad():
        for matrix in matrices:
            before = matrix.weight.data
            after = rounded(before.mT, grid).mT if matrix.turned else rounded(before, grid)
            moved, size = moved + float((after - before).square().sum()), size + float(before.square().sum())
            matrix.weight.copy_(after)
    return (
        Fact("matrices quantised", len(matrices), f"to {BITS[grid]} bits, round-to-nearest, saved as dense numbers"),
        Fact("weights quantised", sum(matrix.weight.numel() for matrix in matrices)),
        Fact("relative change", (moved / size) ** 0.5 if size else 0.0, "norm of the change over the weights' norm"),
    )


def rounded(weight: Tensor, grid: Grid) -> Tensor:
    """Each group of weights on a symmetric grid from minus to plus its largest absolute value.

    A group is a row (int8: 255 steps) or 32 neighbours in one (int4: 15 steps), the last of a row maybe fewer. No
    weight moves by more than half a step.

    Args:
        weight: (..., outputs, inputs), any floating type.

    Returns:
        The same shape and type.
    """
    import torch

    inputs = weight.shape[-1]
    group, top = GROUP[grid] or inputs, 2 ** (BITS[grid] - 1) - 1
    padded = torch.nn.functional.pad(weight.double(), (0, -inputs % group))
    groups = padded.reshape(*weight.shape[:-1], -1, group)
    step = groups.abs().amax(-1, keepdim=True) / top
    on_grid = (groups / step.where(step > 0, 1.0)).round().clamp(-top, top) * step
    back: Tensor = on_grid.flatten(-2)[..., :inputs].to(weight.dtype)
    return back


def _matrices(model: Any) -> Iterator[_Matrix]:
    """Linear layers, those that GPT-2 turns round, and experts that are stacked in one tensor; each once."""
    import torch
    from transformers.pytorch_utils import Conv1D

    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    spared = {id(end.weight) for end in ends if end is not None}
    for path, module in model.named_modules():
        for name, weight in module.named_parameters(path, recurse=False):
            stacked = weight.dim() == 3 and not isinstance(module, torch.nn.modules.conv._ConvNd)
            linear = isinstance(module, torch.nn.Linear | Conv1D) and weight.dim() == 2
            if id(weight) not in spared and weight.is_floating_point() and (stacked or linear):
                spared.add(id(weight))
                yield _Matrix(name, weight, isinstance(module, Conv1D))
