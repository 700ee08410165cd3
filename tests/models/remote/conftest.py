"""A scripted server, the tokenizer of its model, and waits that take no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from auditkit.models.openai_backend import OpenAICompatibleBackend
from auditkit.models.remote_calls import Calls
from tests.models.remote.byte_tokenizer import save_tokenizer
from tests.models.remote.openai_server import MODEL, OpenAIServer, openai_server
from tests.models.tiny import RECORDS

Section = Callable[..., OpenAICompatibleBackend]


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server(RECORDS) as running:
        yield running


@pytest.fixture
def section(server: OpenAIServer, tokenizer: Path) -> Section:
    """The section of a policy for the server: completions, unless it says otherwise."""

    def made(**settings: Any) -> OpenAICompatibleBackend:
        given: dict[str, Any] = {"backend": "openai_compatible", "base_url": server.url, "model": MODEL}
        given |= {"api": "completions", "server": "vllm", "tokenizer": str(tokenizer), "timeout_seconds": 20}
        given |= settings
        return OpenAICompatibleBackend.model_validate({k: v for k, v in given.items() if v is not None})

    return made


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited, without what chance adds."""
    found: list[float] = []
    monkeypatch.setattr(Calls, "_wait", lambda _, seconds: found.append(seconds) if seconds > 0 else None)
    monkeypatch.setattr("random.random", lambda: 0.0)
    return found
