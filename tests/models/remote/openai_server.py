"""A server on this machine that speaks the OpenAI API's wire format over a scripted model, and can misbehave.

The model writes conversations under a small ChatML template; a token is a byte, or one of the template's marks. It
stops at the end-of-turn token, as servers do, and behind an appended turn change it goes on with the answer.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from auditkit.models.scripted import BOS, PIECES, SPECIAL, encode
from tests.models.remote.serving import Canned, serving

KEY = "test-key-1234567890"
MODEL = "recites-1"
END = SPECIAL["<|im_end|>"]
OPENING, CHANGE = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"


def problem(code: str, param: str | None = None) -> dict[str, Any]:
    """An error in the API's words."""
    return {
        "error": {"message": "the text of the request stands here", "type": "invalid", "param": param, "code": code}
    }


@dataclass
class OpenAIServer:
    """``script``: question and answer of each conversation that the model knows."""

    script: Sequence[tuple[str, str]]
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Canned] = field(default_factory=list)  # given first, one a request
    decide: Callable[[dict[str, Any]], Canned | None] = lambda _: None
    model: str = MODEL
    shows_tokens: bool = True  # as vLLM does, where it is asked to
    samples_given: int | None = None  # whatever n says
    finish: str | None = None
    usage: bool = True
    fingerprint: str | None = "fp_1"
    delay: float = 0
    most_at_once: int = 0
    _running: int = 0

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was sent, in order."""
        return [request["body"] for request in self.requests]

    def answer(self, path: str, body: dict[str, Any]) -> Canned:
        """What a request gets."""
        if self.answers:
            return self.answers.pop(0)
        if (canned := self.decide(body)) is not None:
            return canned
        if path == "/v1/chat/completions":
            return Canned(body=self._chat(body), delay=self.delay)
        return Canned(body=self._completion(body), delay=self.delay)

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["prompt"]
        ids = tuple(prompt) if isinstance(prompt, list) else encode(prompt)
        if body.get("echo") or body.get("prompt_logprobs") is not None:
            return self._read(ids, body)
        choices = [self._written(ids, body, number) for number in range(self._count(body))]
        written = sum(choice.pop("tokens") for choice in choices)
        return self._whole("text_completion", choices, len(ids), written)

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        (message,) = body["messages"]
        ids = encode(OPENING + message["content"] + CHANGE)
        limit = body.get("max_tokens") or body["max_completion_tokens"]
        choices = []
        written = 0
        for number in range(self._count(body)):
            one = self._written(ids, {**body, "max_tokens": limit}, number)
            written += one.pop("tokens")
            one["message"] = {"role": "assistant", "content": one.pop("text")}
            choices.append(one)
        return self._whole("chat.completion", choices, len(ids), written)

    def _written(self, prompt: tuple[int, ...], body: dict[str, Any], number: int) -> dict[str, Any]:
        rng = random.Random(f"{body.get('seed')}/{number}")
        pieces = self._next(prompt, rng, body.get("temperature", 1))
        cut = pieces[: body["max_tokens"]]
        whole = len(cut) == len(pieces)
        shown = bool(body.get("return_token_ids")) and self.shows_tokens
        text = decoded(cut if body.get("skip_special_tokens") is False else [t for t in cut if t < 256])
        choice = {"index": number, "text": text, "finish_reason": self.finish or ("stop" if whole else "length")}
        return {**choice, **({"token_ids": list(cut)} if shown else {}), "tokens": len(cut)}

    def _next(self, prompt: tuple[int, ...], rng: random.Random, temperature: float) -> list[int]:
        """The question, or the answer to the question that stands in the prompt; then the end of turn."""
        text = decoded(prompt)
        conversation = self.script[0] if temperature == 0 else rng.choice(self.script)
        before, changed, _ = text.rpartition(CHANGE)
        if changed:
            asked = before.rpartition(OPENING)[2]
            answers = [answer for question, answer in self.script if question == asked]
            return [*encode(answers[0] if answers else conversation[1]), END]
        return [*encode(conversation[0]), END]

    def _read(self, ids: tuple[int, ...], body: dict[str, Any]) -> dict[str, Any]:
        """A token's probability is 1/2 where it is even, and 1/4 else; the most likely one is always even."""
        logprobs = [math.log(0.5 if token % 2 == 0 else 0.25) for token in ids]
        if body.get("echo"):
            top = [None, *({"a": math.log(0.5)} for _ in ids[1:])]
            told = {"tokens": [""] * len(ids), "token_logprobs": [None, *logprobs[1:]], "top_logprobs": top}
            choice = {"index": 0, "text": "", "finish_reason": "length", "logprobs": told}
        else:
            listed = [
                {str(token): {"logprob": value, "rank": 1 + token % 2}, "2": {"logprob": math.log(0.5), "rank": 1}}
                for token, value in zip(ids[1:], logprobs[1:], strict=True)
            ]
            choice = {"index": 0, "text": "x", "finish_reason": "length", "prompt_logprobs": [None, *listed]}
        return self._whole("text_completion", [choice], len(ids), 0)

    def _count(self, body: dict[str, Any]) -> int:
        return self.samples_given if self.samples_given is not None else body.get("n", 1)

    def _whole(self, kind: str, choices: list[dict[str, Any]], read: int, written: int) -> dict[str, Any]:
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        found = {"id": "cmpl-1", "object": kind, "created": 1, "model": self.model, "choices": choices}
        return {**found, "system_fingerprint": self.fingerprint, **({"usage": usage} if self.usage else {})}


def decoded(ids: Sequence[int]) -> str:
    """Tokens as text, marks included."""
    return b"".join(PIECES.get(token) or bytes([token]) for token in ids).decode("utf-8", errors="replace")


@contextmanager
def openai_server(script: Sequence[tuple[str, str]]) -> Iterator[OpenAIServer]:
    """Serve on a free port of the loopback address."""
    state = OpenAIServer(script)

    def answer(path: str, headers: dict[str, str], body: dict[str, Any]) -> Canned:
        given = {"path": path, "key": headers.get("authorization"), "body": body}
        state.requests.append({**given, "headers": headers, "time": time.monotonic()})
        found = state.answer(path, body)
        state._running += 1
        state.most_at_once = max(state.most_at_once, state._running)
        return found

    def done() -> None:
        state._running -= 1

    with serving(answer, done) as address:
        state.url = f"{address}/v1"
        yield state


__all__ = ["BOS", "CHANGE", "END", "KEY", "MODEL", "OPENING", "Canned", "OpenAIServer", "openai_server", "problem"]
