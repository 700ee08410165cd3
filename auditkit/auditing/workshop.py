"""What a mitigation is given to work with: the models, the data, what leaked of them, and a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from auditkit.auditing.context import Context
from auditkit.auditing.measured import Measured
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.progress import Progress, Stage
from auditkit.auditing.score import Scores, data_vectors
from auditkit.errors import MitigationFailedError
from auditkit.files import make_folder
from auditkit.mitigations.base import Declared, Floats, Indices, Measure, Mitigation, Workshop
from auditkit.models.base import ModelBackend
from auditkit.scoring.embedders.embedding import TextEmbedding
from auditkit.scoring.vectors.index import best_vector_matches

STRING_FLOOR = 0.5


@contextmanager
def workshop(
    context: Context, mitigation: Mitigation, baseline: Measured, embedding: TextEmbedding
) -> Iterator[Workshop]:
    """The workshop of one arm; its folder is made, with nobody's rights but the owner's."""
    assert baseline.scores is not None
    scores = baseline.scores
    members = {data.name: _Members(context, data, embedding) for data in context.datasets}
    with Teller(context.progress) as teller:
        yield Workshop(
            folder=make_folder(context.run.of_arm(mitigation.label).weights),
            candidate=context.policy.models.candidate,
            base=context.policy.models.base,
            datasets=[_declared(data, scores) for data in context.datasets],
            leaked=lambda: {data.name: _leaked(baseline.context, data, scores) for data in context.datasets},
            similarity=lambda name, texts, measure: members[name].similarity(texts, measure),
            open_for_training=open_for_training,
            seed=context.policy.seed,
            secret=context.secret,
            tell=teller.tell,
        )


def open_for_training(backend: ModelBackend) -> tuple[Any, Any]:
    """Network (float32, in training mode) and tokenizer of a backend's weights.

    Raises:
        MitigationFailedError: this backend has no network that could be trained here.
    """
    if "gradients" not in backend.capabilities:
        raise MitigationFailedError(f"the {backend.backend} backend has no weights to train", "use transformers")
    opened: Any = backend.model_copy(update={"dtype": "float32"}).open("training")
    if getattr(opened.tokenizer, "chat_template", None) is None:
        opened.tokenizer.chat_template = opened.chat_template
    return opened.model.train(), opened.tokenizer


def _declared(data: PreparedDataset, scores: Scores) -> Declared:
    return Declared(
        name=data.name,
        stage=data.section.stage,
        members=data.members.records,
        controls=data.controls.records,
        clusters=data.clusters,
        threshold=scores.calibrations[data.name, data.views[0]].threshold,
    )


def _leaked(context: Context, data: PreparedDataset, scores: Scores) -> Indices:
    """Positions of the members that any of the baseline's attacks reached."""
    keys = [(attack.label, data.name, data.views[0]) for attack in context.policy.prefix_attacks]
    hit = np.logical_or.reduce([scores.coverage[key].members.record_hit for key in keys])
    return np.flatnonzero(hit)


class _Members:
    """The members of a dataset in its first view, to compare texts with."""

    def __init__(self, context: Context, data: PreparedDataset, embedding: TextEmbedding) -> None:
        self._context, self._data, self._embedding = context, data, embedding

    def similarity(self, texts: Sequence[str], measure: Measure) -> Floats:
        """(texts,) of each text's best match."""
        view = self._data.views[0]
        if not texts:
            return np.zeros(0)
        if measure == "levenshtein":
            return self._data.string_index(view).best(list(texts), "levenshtein", STRING_FLOOR)[1]
        vectors = data_vectors(self._context, self._embedding, self._data, view, self._data.members)
        return best_vector_matches(self._embedding.embed(list(texts)), vectors, "exact")[1].astype(np.float64)


class Teller:
    """What a mitigation tells, as stages of the run's progress; one after the other."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stack = ExitStack()
        self._stage: Stage | None = None
        self._under_way, self._done = "", 0

    def __enter__(self) -> Teller:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def tell(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of ``what`` are finished."""
        if what != self._under_way or self._stage is None or done < self._done:
            self._stack.close()
            stage = self._progress.stage(what, max(1, total), "steps")
            self._stage, self._under_way, self._done = self._stack.enter_context(stage), what, 0
        self._stage.advance(done - self._done)
        self._done = done
