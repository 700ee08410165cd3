"""Mitigations that change weights without training from the base: what is the same for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from auditkit.errors import AuditkitError, DataError, MissingExtraError, MitigationFailedError, RunError
from auditkit.files import make_folder
from auditkit.mitigations.base import Made, WeightMitigation, Workshop
from auditkit.mitigations.saved_weights import read_facts, save_weights
from auditkit.mitigations.starting_point import digest
from auditkit.records import Fact

WEIGHTS = "weights"
UNPACKED = "unpacked"  # dense copies of a GGUF file: they leave the run folder as little as the file does


@dataclass(frozen=True)
class Changed:
    """A model with other weights, its tokenizer, and what there is to say of it. ``data``: name -> records used."""

    model: Any
    tokenizer: Any
    facts: tuple[Fact, ...]
    data: Mapping[str, int] = field(default_factory=dict)


class ChangedWeights(WeightMitigation, ABC):
    """A subclass says how the weights change (``change``); they are saved here, and taken up again when asked again."""

    # The extra that this needs, and the libraries by which one sees that it is installed.
    needs: ClassVar[tuple[str, tuple[str, ...]]] = ("transformers", ("torch", "transformers"))

    @abstractmethod
    def change(self, workshop: Workshop) -> Changed:
        """The candidate's weights as they become.

        Raises:
            MitigationFailedError: they cannot be changed so.
        """

    def missing(self) -> str | None:
        extra, libraries = self.needs
        return None if all(find_spec(library) for library in libraries) else extra

    def make(self, workshop: Workshop) -> Made:
        folder = make_folder(workshop.folder) / WEIGHTS
        facts = read_facts(folder)
        if facts is None:
            with told_plainly():
                changed = self.change(workshop)
                _refuse_no_numbers(changed.model)
            self._save(folder, changed, digest(workshop.candidate))
            facts = changed.facts
        return Made(workshop.candidate.with_weights(folder), facts)

    def parameters(self) -> dict[str, Any]:
        """As the policy gives them; of paths only the file's name, for a card travels with its weights."""
        given = self.model_dump(mode="json", exclude={"kind", "name", "attacker"})
        return {key: Path(value).name if key == "path" and value else value for key, value in given.items()}

    def _save(self, folder: Path, changed: Changed, base: str) -> None:
        save_weights(
            folder,
            changed.model,
            changed.tokenizer,
            kind=self.kind,
            summary=self.summary,
            parameters=self.parameters(),
            facts=changed.facts,
            base=base,
            data=changed.data,
        )


@contextmanager
def told_plainly() -> Iterator[None]:
    """What changing weights stumbles over, as a failure of this arm; what is wrong with files or the machine stays.

    Raises:
        MitigationFailedError: a model cannot be opened or does not fit, or memory ran out.
    """
    try:
        yield
    except (MitigationFailedError, MissingExtraError, DataError, RunError):
        raise
    except AuditkitError as error:
        raise MitigationFailedError(error.message, error.hint) from error
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
            raise
        hint = "lower batch_size, use a machine with more memory, or give weights made elsewhere as kind: checkpoint"
        raise MitigationFailedError("memory ran out while the weights were changed", hint) from error


def _refuse_no_numbers(model: Any) -> None:
    broken = [name for name, weight in model.named_parameters() if not bool(weight.isfinite().all())]
    if broken:
        what = f"{len(broken)} of the changed tensors hold values that are no numbers"
        raise MitigationFailedError(what, "take smaller steps, or check that the weights were sound before")
