"""A model of the Gemini API under attack: messages in, candidates out, through google-genai."""

from __future__ import annotations

from typing import Any

from auditkit.models.base import LanguageModel
from auditkit.models.gemini_backend import GeminiBackend
from auditkit.models.remote_calls import Call, Calls, Reply
from auditkit.models.remote_model import Ask, ChattingModel
from auditkit.models.remote_row import Answer, Ended
from auditkit.models.remote_texts import Texts, texts_of
from auditkit.records import ModelIdentity
from auditkit.remote.budget import Spent, one_request
from auditkit.remote.google import connection, read_failure

# Whatever else ends a candidate (safety, recitation, blocklists) is Google's refusal to hand it over.
ENDS: dict[str, Ended] = {"STOP": "stop", "MAX_TOKENS": "length", "": "failed", "FINISH_REASON_UNSPECIFIED": "failed"}
ENDS |= {"MALFORMED_FUNCTION_CALL": "failed", "UNEXPECTED_TOOL_CALL": "failed", "OTHER": "failed"}
EMPTY = " "  # the API refuses a message without text


def open_gemini(section: GeminiBackend, identity: ModelIdentity) -> LanguageModel:
    """The model; nothing is asked yet.

    Raises:
        AuditkitError: the key is not in the environment.
        MissingExtraError: google-genai is not installed.
    """
    client = connection(section.key(), section.address, section.timeout_seconds)
    return GeminiChat(section, identity, texts_of(section, identity), Calls(section, read_failure), client)


class GeminiChat(ChattingModel):
    """models.generateContent, one message of the user's."""

    section: GeminiBackend

    def __init__(
        self, section: GeminiBackend, identity: ModelIdentity, texts: Texts, calls: Calls, client: Any
    ) -> None:
        super().__init__(section, identity, texts, calls)
        self._client = client

    def call(self, ask: Ask) -> Call[list[Answer]]:
        return Call(self.dearest(ask), lambda: self._sampled(ask), lambda found: self._answers(found, ask.count))

    def _sampled(self, ask: Ask) -> Reply[Any]:
        found = self._client.models.generate_content(
            model=self.section.model,
            contents=[{"role": "user", "parts": [{"text": ask.prompt.text or EMPTY}]}],
            config=self._config(ask),
        )
        return Reply(found, _used(found.usage_metadata), found.model_version or "")

    def _answers(self, found: Any, count: int) -> list[Answer]:
        if found.candidates:
            return [self._answer(one) for one in found.candidates]
        blocked = found.prompt_feedback is not None and found.prompt_feedback.block_reason is not None
        return [Answer((), "", "blocked" if blocked else "failed")] * count

    def _config(self, ask: Ask) -> dict[str, Any]:
        sampler = ask.sampler
        found: dict[str, Any] = {
            "temperature": sampler.temperature,
            "top_p": sampler.top_p,
            "max_output_tokens": sampler.max_new_tokens,
            "candidate_count": ask.count,
            "seed": ask.seed,
        }
        if sampler.top_k:
            found["top_k"] = sampler.top_k
        if self.section.thinking_budget is not None:
            found["thinking_config"] = {"thinking_budget": self.section.thinking_budget}
        return found

    def _answer(self, candidate: Any) -> Answer:
        parts = (candidate.content.parts or []) if candidate.content else []
        text = "".join(part.text for part in parts if part.text)
        reason = candidate.finish_reason
        ended = ENDS.get(str(getattr(reason, "value", reason) or ""), "blocked")
        return Answer(self.encode(text), text, ended)


def _used(usage: Any) -> Spent | None:
    """As the API bills: thoughts are output. What is below nothing counts as nothing."""
    if usage is None or usage.prompt_token_count is None:
        return None
    told = (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count)
    prompt, candidates, thoughts = (max(0, count or 0) for count in told)
    return one_request(prompt, candidates + thoughts)
