"""PyTorch's dynamic quantisation of an open model: linear layers compute in 8 bits, activations too."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

from auditkit.errors import MitigationFailedError, ModelError
from auditkit.mitigations.served import ServedModel
from auditkit.models.base import GradientPair, LanguageModel, RecordTokens
from auditkit.records import Prefix


class DynamicallyQuantised(ServedModel):
    """A model whose linear layers are integers: there is nothing to differentiate."""

    def gradient_pairs(
        self,
        records: Sequence[RecordTokens],  # noqa: ARG002
        prefix: Prefix,  # noqa: ARG002
        layers: str = "",  # noqa: ARG002
    ) -> list[GradientPair]:
        """Raises ModelError."""
        raise ModelError("a dynamically quantised model has no gradients", "ask the weights before quantisation")


def quantised_dynamically(model: LanguageModel) -> LanguageModel:
    """The same model with its linear layers quantised; the one given stays as it is.

    Raises:
        MitigationFailedError: it has no linear layer, or this PyTorch cannot quantise here.
    """
    return DynamicallyQuantised(model.with_network(quantised_network))


def quantised_network(network: Any) -> Any:
    """A copy of a network on the CPU, its linear layers as PyTorch's quantised ones (int8, a scale for each output).

    Activations are quantised anew for each input, by their own range. Embeddings and output layer stay as they are, and
    so do layers of another kind, such as GPT-2's.

    Raises:
        MitigationFailedError: it has no linear layer, or this PyTorch cannot quantise here.
    """
    import torch

    if torch.backends.quantized.engine == "none":
        raise MitigationFailedError("this PyTorch has no engine for quantised layers", "use a machine with x86 or ARM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module has moved; what it does stays
        quantisation: Any = torch.ao.quantization
        plain = copy.deepcopy(network).to("cpu", torch.float32).eval()
        last = plain.get_output_embeddings()
        layers = [name for name, one in plain.named_modules() if isinstance(one, torch.nn.Linear) and one is not last]
        spec = dict.fromkeys(layers, quantisation.per_channel_dynamic_qconfig)
        changed = quantisation.quantize_dynamic(plain, spec, inplace=True) if layers else plain
    if not any(type(module).__module__.startswith("torch.ao.nn.quantized") for module in changed.modules()):
        hint = "use int8 or int4, or a model of another architecture"
        raise MitigationFailedError("this model has no linear layer that PyTorch quantises", hint)
    return changed
