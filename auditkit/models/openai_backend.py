"""The ``openai_compatible`` backend: a model behind the OpenAI API's completions or chat, whoever serves it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from auditkit.models.base import LanguageModel, Likelihoods
from auditkit.models.remote_section import RemoteBackend
from auditkit.records import Attacker, ModelIdentity


class OpenAICompatibleBackend(RemoteBackend):
    """A server that speaks the OpenAI API: vLLM, llama.cpp, SGLang, a gateway, or OpenAI itself."""

    backend: Literal["openai_compatible"]
    base_url: Annotated[str, Field(max_length=2000, description="With the version, e.g. http://localhost:8000/v1")]
    api: Literal["completions", "chat"] = Field(
        description="completions: the attacker writes the whole prompt (raw_api); chat: messages alone (chat_api)."
    )
    server: Literal["openai", "vllm"] = Field(
        default="openai",
        description="vllm: its own parameters are used besides: top_k, the ids of what it wrote, special tokens shown.",
    )
    logprobs: Literal["none", "echo", "prompt_logprobs"] = Field(
        default="none",
        description="How the server tells the log-probabilities of given text: not at all; completions with echo; "
        "vLLM's prompt_logprobs. Needs completions and a tokenizer.",
    )

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.logprobs != "none" and (self.api != "completions" or self.tokenizer is None):
            raise ValueError("'logprobs' needs api: completions and a 'tokenizer'")
        if self.logprobs == "prompt_logprobs" and self.server != "vllm":
            raise ValueError("'prompt_logprobs' is vLLM's own: set server: vllm")
        return self

    @property
    def address(self) -> str:
        return self.base_url

    @property
    def service(self) -> str:
        return "the model server"

    @property
    def endpoint(self) -> dict[str, Any]:
        return {"backend": self.backend, "base_url": self.base_url.rstrip("/"), "model": self.model, "api": self.api}

    @property
    def reach(self) -> Attacker:
        return "raw_api" if self.api == "completions" else "chat_api"

    @property
    def likelihoods(self) -> Likelihoods:
        return "none" if self.logprobs == "none" else "given"

    @property
    def truncates(self) -> bool:
        return self.server == "vllm"

    def opened(self, identity: ModelIdentity) -> LanguageModel:
        from auditkit.models.openai_models import open_openai

        return open_openai(self, identity)

    def provenance(self) -> dict[str, Any]:
        return {**super().provenance(), "api": self.api, "server": self.server}
