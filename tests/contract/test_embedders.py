"""What every registered embedder keeps to. A kind that needs parameters has an example here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.registry import kinds, plugin_class
from auditkit.scoring.base import Embedder
from tests.scoring.embedders.gemini_server import KEY, gemini_server
from tests.scoring.embedders.tiny_sentence_model import write_tiny_model

TEXTS = [
    "The parcel never arrived, and nobody answered.",
    "a",
    "Zwölf Boxkämpfer \U0001f600 jagen\nViktor \u202e quer",
    "refund " * 500,
    "<s> </s> [CLS] <|endoftext|>",
]


def _sentence_transformers(folder: Path, _: ExitStack) -> dict[str, Any]:
    return {"path": str(write_tiny_model(folder)), "batch_size": 2}


def _gemini(_: Path, stack: ExitStack) -> dict[str, Any]:
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setenv("GEMINI_API_KEY", KEY)
    return {"base_url": stack.enter_context(gemini_server()).url}


EXAMPLES: dict[str, Callable[[Path, ExitStack], dict[str, Any]]] = {
    "sentence_transformers": _sentence_transformers,
    "gemini": _gemini,
}


@pytest.fixture(scope="module", params=sorted(kinds("embedders")))
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    kind = request.param
    with ExitStack() as stack:
        parameters = EXAMPLES[kind](tmp_path_factory.mktemp(kind), stack) if kind in EXAMPLES else {}
        made = plugin_class("embedders", kind).model_validate({"kind": kind, **parameters})
        assert isinstance(made, Embedder)
        yield made


def test_the_section_is_frozen_and_refuses_unknown_keys(embedder: Embedder) -> None:
    assert embedder.model_config.get("frozen")
    with pytest.raises(ValidationError):
        type(embedder).model_validate(embedder.model_dump() | {"no_such_key": 1})
    assert type(embedder).model_validate(embedder.model_dump()) == embedder
    assert type(embedder).model_json_schema()["properties"]["kind"]["const"] == embedder.kind


def test_gives_unit_rows_in_order(embedder: Embedder) -> None:
    found = embedder.embed(TEXTS)
    assert found.dtype == np.float32
    assert found.shape[0] == len(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedder.embed(TEXTS[::-1]), found[::-1], atol=1e-6)


def test_an_empty_text_gives_a_zero_row(embedder: Embedder) -> None:
    found = embedder.embed(["", TEXTS[0], ""])
    assert not found[[0, 2]].any()
    assert found[1].any()
    assert embedder.embed([]).shape == (0, found.shape[1])


def test_the_same_text_gives_the_same_vector_in_every_batch(embedder: Embedder) -> None:
    together = embedder.embed(TEXTS * 3)
    for i, text in enumerate(TEXTS):
        alone = embedder.embed([text])[0]
        for copy in range(3):
            np.testing.assert_allclose(together[copy * len(TEXTS) + i], alone, atol=1e-6)


def test_equal_texts_score_one_and_others_less(embedder: Embedder) -> None:
    found = embedder.embed([TEXTS[0], TEXTS[0], TEXTS[3]])
    assert found[0] @ found[1] == pytest.approx(1, abs=1e-6)
    assert found[0] @ found[2] < 0.999


def test_the_digest_is_stable(embedder: Embedder) -> None:
    again = type(embedder).model_validate(embedder.model_dump())
    assert embedder.digest == again.digest
    assert len(embedder.digest) > 20


def test_says_whether_texts_leave_and_what_that_costs(embedder: Embedder) -> None:
    assert isinstance(embedder.external, bool)
    assert embedder.estimated_cost(0) == 0
    assert (embedder.estimated_cost(10**9) > 0) <= embedder.external
    assert embedder.published_threshold is None or 0 < embedder.published_threshold <= 1
