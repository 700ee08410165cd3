"""lm-evaluation-harness asking auditkit's own models: what it reads and generates goes through whatever serves them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from auditkit.errors import ModelError
from auditkit.models.base import Ids, LanguageModel
from auditkit.records import Prefix, Sampler
from auditkit.statistics.draws import derived_seed

# Texts of one call: reading keeps figures of every token.
CALL = 2048
# What the harness lets a task write that says nothing of it.
MOST_NEW_TOKENS = 256

Request = tuple[Any, list[int], list[int]]  # the texts, the context's tokens, the continuation's tokens


def harness_model(model: LanguageModel, seed: int, *, chat: bool = False) -> Any:
    """A model that the harness can evaluate (an ``lm_eval.api.model.LM``) over one of auditkit's.

    Args:
        model: opened by the caller, and closed by the caller.
        seed: of what is drawn where a task asks for sampling.
        chat: contexts are asked as a user's message through the chat template (and a served system prompt) instead of
            being continued behind BOS; the harness must then be told ``apply_chat_template=True``.
    """
    base = import_module(
        "lm_eval.api.model"
    ).TemplateLM  # splits context and continuation as for any transformers model
    made: type = type("AuditedModel", (Answering, base), {})
    return made(model, seed, chat)


class Answering:
    """What the harness asks of a model, answered by ``LanguageModel``.

    BOS stands before every text that does not begin with it, whether or not the tokenizer would add one by itself. A
    text longer than the context loses its oldest tokens, BOS excepted.
    """

    def __init__(self, model: LanguageModel, seed: int, chat: bool) -> None:
        super().__init__()
        self.model, self.seed, self.chat = model, seed, chat
        self._bos = model.bos_prefix()
        openings = (self._bos.text, model.opening().text if chat else "")
        self._openings = tuple(text for text in openings if text)

    @property
    def eot_token_id(self) -> int:
        """What stands before a text without context."""
        return self._bos.token_ids[-1]

    @property
    def tokenizer_name(self) -> str:
        """What a cache of requests would be keyed by."""
        return self.model.identity.tokenizer_sha256

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """The ids of a text, BOS before them unless it is there, or not wanted."""
        ids = list(self.model.encode(string))
        if add_special_tokens is False or string.startswith(self._openings):
            return ids
        return [*self._bos.token_ids, *ids]

    def apply_chat_template(self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages as one user's, so that the server's own system prompt stays; a begun answer stands behind."""
        begun = "" if add_generation_prompt else chat_history[-1]["content"]
        asked = chat_history if add_generation_prompt else chat_history[:-1]
        text = "\n\n".join(message["content"] for message in asked)
        return self.model.asked(text, self.model.opening()).text + begun

    def _loglikelihood_tokens(self, requests: Sequence[Request], **_: Any) -> list[tuple[float, bool]]:
        """ln p of each continuation, and whether greedy decoding writes it."""
        found: list[tuple[float, bool]] = []
        for start in range(0, len(requests), CALL):
            found += self._read([(context, rest) for _, context, rest in requests[start : start + CALL]])
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any], **_: Any) -> list[float]:
        """ln p of each whole text, in windows of the context where it is longer."""
        utils = import_module("lm_eval.utils")
        windows: list[Request] = []
        for place, request in enumerate(requests):
            ids = self.tok_encode(request.args[0], add_special_tokens=False)
            cut = utils.get_rolling_token_windows(ids, self.eot_token_id, self.model.context - 1, 1)
            windows += [(place, *utils.make_disjoint_window(pair)) for pair in cut]
        totals = [0.0] * len(requests)
        for window, (logprob, _greedy) in zip(windows, self._loglikelihood_tokens(windows), strict=True):
            totals[window[0]] += logprob
        return totals

    def generate_until(self, requests: Sequence[Any], **_: Any) -> list[str]:
        """What the model writes behind each context, up to the first of the task's stopping texts."""
        alike: dict[str, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            alike[json.dumps(request.args[1], sort_keys=True)].append(place)
        texts = [""] * len(requests)
        for settings, members in alike.items():
            written = self._written([requests[place].args[0] for place in members], json.loads(settings))
            for place, text in zip(members, written, strict=True):
                texts[place] = text
        return texts

    def _read(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
        """One call of the model for each different first token: nearly always one, BOS."""
        room = self.model.context - 1
        if any(not rest or len(rest) > room for _, rest in pairs):
            raise ModelError(
                "the task has an answer without a token of its own, or one that fills the model's context",
                "leave the task out of utility.lm_eval.tasks",
            )
        firsts: dict[int, list[int]] = defaultdict(list)
        for place, (context, _) in enumerate(pairs):
            firsts[context[0]].append(place)
        found = [(0.0, False)] * len(pairs)
        for first, places in firsts.items():
            texts = [_newest([*pairs[p][0][1:], *pairs[p][1]], room) for p in places]
            for place, reading in zip(places, self.model.read(texts, self._prefix((first,))), strict=True):
                size = len(pairs[place][1])
                found[place] = float(reading.logprobs[-size:].sum()), bool(reading.greedy[-size:].all())
        return found

    def _written(self, contexts: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
        utils = import_module("lm_eval.models.utils")
        known = utils.normalize_gen_kwargs(settings, MOST_NEW_TOKENS)
        sampler = _sampler(known)
        # A context as long as the model's keeps half of it: an answer needs room too.
        room = max(self.model.context - sampler.max_new_tokens, self.model.context // 2) - 1
        encoded = [self.tok_encode(context) for context in contexts]
        prefixes = [self._prefix((ids[0], *_newest(ids[1:], room))) for ids in encoded]
        answers = self.model.complete(prefixes, sampler, derived_seed(self.seed, "lm_eval"))
        return [utils.postprocess_generated_text(self.model.decode(ids), known["until"], None) for ids in answers]

    def _prefix(self, ids: Ids) -> Prefix:
        return Prefix("lm_eval", self.model.decode(ids), ids)


def _newest(ids: Sequence[int], room: int) -> Ids:
    return tuple(ids[max(0, len(ids) - room) :])


def _sampler(settings: Mapping[str, Any]) -> Sampler:
    """A task's own way of sampling: greedy unless it says otherwise."""
    drawn = bool(settings.get("do_sample"))
    return Sampler(
        temperature=float(settings.get("temperature", 1.0)) if drawn else 0.0,
        top_k=int(settings.get("top_k", 0)),
        top_p=float(settings.get("top_p", 1.0)),
        max_new_tokens=int(settings["max_gen_toks"]),
    )
