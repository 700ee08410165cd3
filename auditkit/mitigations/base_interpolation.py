"""Interpolation towards the base: (1 - a) post + a base, for a grid of a."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Mitigation, Workshop
from auditkit.mitigations.changed_weights import Changed, ChangedWeights
from auditkit.records import Fact

Share = Annotated[float, Field(ge=0, le=1)]


class BaseInterpolation(ChangedWeights):
    """Weights on the straight line from the candidate to the model that it was post-trained from."""

    summary: ClassVar[str] = "Every weight moved a share of the way back to the base model's."
    source: ClassVar[str] = "Wortsman et al. 2022, Robust fine-tuning of zero-shot models (WiSE-FT), arXiv:2109.01903"

    kind: Literal["base_interpolation"]
    shares: Annotated[list[Share], Field(min_length=1, max_length=50)] = Field(
        default=[0.25, 0.5, 0.75],
        description="a in (1 - a) post + a base, an arm for each, named NAME-a: 0 is the candidate, 1 the base.",
    )

    @property
    def needs_base(self) -> bool:
        return True

    @model_validator(mode="after")
    def _all_different(self) -> Self:
        if len({f"{share:g}" for share in self.shares}) < len(self.shares):
            raise ValueError("'shares' names one twice")
        return self

    def arms(self) -> Sequence[Mitigation]:
        return [self.model_copy(update={"name": f"{self.label}-{share:g}", "shares": [share]}) for share in self.shares]

    def change(self, workshop: Workshop) -> Changed:
        (share,) = self.shares
        if workshop.base is None:
            raise MitigationFailedError("the policy declares no base model", "declare models.base")
        post, tokenizer = workshop.open_for_training(workshop.candidate)
        base, base_tokenizer = workshop.open_for_training(workshop.base)
        _refuse_strangers(post, base)
        if len(tokenizer) != len(base_tokenizer):
            what = f"the candidate's tokenizer has {len(tokenizer):,} tokens, the base's {len(base_tokenizer):,}"
            raise MitigationFailedError(what, "declare the base that the candidate was made from")
        distance = interpolate(post, base, share)
        facts = (
            Fact("share of the base", share, "a in (1 - a) post + a base"),
            Fact("distance", distance, "norm of the difference between base and candidate over the candidate's norm"),
        )
        return Changed(post, tokenizer, facts)


def interpolate(post: Any, base: Any, share: float) -> float:
    """Move ``post``, in place, ``share`` of the way to ``base``; how far apart the two were, relative to ``post``.

    Both have the same tensors, floats in float32. What is no float, and cannot be mixed, is that of the nearer one.
    """
    import torch

    apart, size = 0.0, 0.0
    others = dict(_tensors(base))
    with torch.no_grad():
        for name, tensor in _tensors(post):
            other = others[name].to(tensor.device)
            if not tensor.is_floating_point():
                tensor.copy_(other if share > 0.5 else tensor)
                continue
            apart, size = apart + float((other - tensor).square().sum()), size + float(tensor.square().sum())
            tensor.copy_((1 - share) * tensor + share * other)
    return (apart / size) ** 0.5 if size else 0.0


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """Parameters, each once though it be shared, and the buffers that are saved with them."""
    saved = model.state_dict().keys()
    yield from model.named_parameters()
    yield from ((name, buffer) for name, buffer in model.named_buffers() if name in saved)


def _refuse_strangers(post: Any, base: Any) -> None:
    """Refuse two models between which there is no straight line."""
    hint = "declare the base that the candidate was made from, as it is: untouched vocabulary, the same architecture"
    kinds = post.config.model_type, base.config.model_type
    if kinds[0] != kinds[1]:
        raise MitigationFailedError(f"the candidate is a {kinds[0]}, the base a {kinds[1]}", hint)
    shapes = [{name: tuple(tensor.shape) for name, tensor in _tensors(model)} for model in (post, base)]
    differing = sorted(name for name, _ in shapes[0].items() ^ shapes[1].items())
    if differing:
        what = f"candidate and base differ in the shape of {len(set(differing))} tensors, {differing[0]} among them"
        raise MitigationFailedError(what, hint)
