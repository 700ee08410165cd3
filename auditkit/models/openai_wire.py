"""The OpenAI API's wire format, as its own server and the many that imitate it speak it; vLLM's additions besides.

Only what is needed is read, and strictly: an answer of another shape is a failure of the server, tried again.
"""

from __future__ import annotations

import logging
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from auditkit.errors import MissingExtraError, ModelError
from auditkit.models.remote_calls import Reply
from auditkit.models.remote_section import RemoteBackend
from auditkit.remote.bounded import UnboundedAnswerError, bounded_client
from auditkit.remote.budget import Spent, one_request
from auditkit.remote.failures import RETRIED, Failure, retry_after, short_name

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Number = Annotated[float, Field(allow_inf_nan=False)]
NO_KEY = "none"  # the client wants one; servers on this machine ask for none


class Shape(BaseModel):
    """A part of an answer; what is not named here is let be."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TokenLogprob(Shape):
    """vLLM's: of one token at one place."""

    logprob: Number
    rank: int | None = None


class EchoedLogprobs(Shape):
    """Of the completions API with ``echo``: one entry a token, the first without a probability."""

    token_logprobs: list[Number | None]
    top_logprobs: list[dict[str, Number] | None] | None = None


class Message(Shape):
    """The assistant's, of the chat API. ``reasoning`` is what some servers part from the answer."""

    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class Choice(Shape):
    """One sample."""

    index: int = 0
    text: str | None = None
    message: Message | None = None
    finish_reason: str | None = None
    token_ids: list[TokenId] | None = None
    logprobs: EchoedLogprobs | dict[str, Any] | None = None
    prompt_logprobs: list[dict[TokenId, TokenLogprob] | None] | None = None


class Usage(Shape):
    """As the server counts and bills."""

    prompt_tokens: Annotated[int, Field(ge=0, lt=2**40)] = 0
    completion_tokens: Annotated[int, Field(ge=0, lt=2**40)] | None = 0


class Completion(Shape):
    """A whole answer of either API."""

    choices: list[Choice]
    model: str = ""
    system_fingerprint: str | None = None
    usage: Usage | None = None


class UnreadableAnswerError(Exception):
    """An answer of another shape than the API's."""


class OpenAIWire:
    """One connection. Redirects are not followed, answers are bounded, and no variable changes where it leads."""

    def __init__(self, section: RemoteBackend) -> None:
        try:
            import openai
        except ImportError:
            raise MissingExtraError("openai", "openai") from None
        logging.getLogger("openai").setLevel(logging.WARNING)  # its debug log holds what is sent
        self._client = openai.OpenAI(
            api_key=section.key() or NO_KEY,
            base_url=section.address,
            max_retries=0,  # patience is ours: it knows the budget
            http_client=bounded_client(section.timeout_seconds, section.address),
        )
        # Whom the environment names there is nobody that the policy names.
        self._client.organization = self._client.project = None

    def post(self, path: str, body: dict[str, Any]) -> Reply[Completion]:
        """One request, once.

        Raises:
            openai.APIError: refused, failed, or out of reach.
            UnreadableAnswerError: an answer that is none of this API's.
        """
        import httpx2

        answer = self._client.post(path, cast_to=httpx2.Response, body=body)
        if answer.is_redirect:
            raise ModelError(
                f"the server answers HTTP {answer.status_code}: what is asked would go to another address",
                "give that address as base_url, if it is the right one",
            )
        try:
            found = Completion.model_validate_json(answer.content)
        except ValidationError as error:
            raise UnreadableAnswerError from error
        if not found.choices:
            raise UnreadableAnswerError
        return Reply(found, _spent(found.usage), found.model, short_name(found.system_fingerprint or ""))

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def read_failure(error: Exception) -> Failure | None:
    """What a request may fail with."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return _of_status(error)
    if isinstance(error, UnreadableAnswerError | openai.APIResponseValidationError):
        return Failure("an answer that is not of this API", passing=True, charged=True)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        if isinstance(cause, UnboundedAnswerError):
            return Failure(str(cause), passing=True, charged=True)
        what = type(cause or error).__name__
        return Failure(what, passing=True, charged=not what.startswith("Connect"))
    if isinstance(error, UnboundedAnswerError):
        return Failure(str(error), passing=True, charged=True)
    return _of_transport(error)


def _of_transport(error: Exception) -> Failure | None:
    """A line that breaks while the answer is read."""
    import httpx2

    if isinstance(error, httpx2.TransportError | ConnectionError | TimeoutError):
        return Failure(type(error).__name__, passing=True, charged=True)
    return None


def _of_status(error: Any) -> Failure:
    body = error.body if isinstance(error.body, dict) else {}
    reason = short_name(body.get("code") or "") or short_name(body.get("type") or "")
    code = int(error.status_code)
    return Failure(
        f"HTTP {code} {reason}".rstrip(),
        passing=code in RETRIED and reason != "insufficient_quota",
        code=code,
        asked=retry_after(error.response.headers),
        about_key=code in (401, 403),
        reason=reason,
        parameter=short_name(body.get("param") or ""),
    )


def _spent(usage: Usage | None) -> Spent | None:
    """None where the server does not say both counts: then the dearest is billed. A count of null is none written."""
    if usage is None or not set(Usage.model_fields) <= usage.model_fields_set:
        return None
    return one_request(usage.prompt_tokens, usage.completion_tokens or 0)
