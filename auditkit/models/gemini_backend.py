"""The ``gemini`` backend: Google's Gemini API. Messages alone can be sent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from auditkit.models.base import LanguageModel, Likelihoods
from auditkit.models.remote_section import RemoteBackend
from auditkit.records import Attacker, ModelIdentity
from auditkit.remote.google import ADDRESS, KEY


class GeminiBackend(RemoteBackend):
    """A model of the Gemini API [ai.google.dev/api/generate-content], reached by chat."""

    backend: Literal["gemini"]
    base_url: Annotated[str, Field(max_length=2000)] = ADDRESS
    api_key: Annotated[str, Field(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$")] | None = KEY
    n: Annotated[int, Field(ge=1, le=8, description="Candidates a request; some models give one only.")] = 1
    thinking_budget: Annotated[int, Field(ge=-1, le=1_000_000)] | None = Field(
        default=None, description="Tokens of thought before an answer, billed as output; 0 switches it off."
    )

    @property
    def address(self) -> str:
        return self.base_url

    @property
    def service(self) -> str:
        return "the Gemini API"

    @property
    def endpoint(self) -> dict[str, Any]:
        return {"backend": self.backend, "base_url": self.base_url.rstrip("/"), "model": self.model}

    @property
    def reach(self) -> Attacker:
        return "chat_api"

    @property
    def likelihoods(self) -> Likelihoods:
        return "none"

    def opened(self, identity: ModelIdentity) -> LanguageModel:
        from auditkit.models.gemini_model import open_gemini

        return open_gemini(self, identity)
