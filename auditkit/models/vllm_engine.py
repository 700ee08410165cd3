"""vLLM in processes of its own: started, fed, and gone with the memory that it held when it is closed.

The engine binds threads and memory of its process and keeps both until that ends, so it never runs in the audit's own.
Each process holds a whole model (with tensor parallelism over several devices); several share the work out. Within a
process the engine's core runs in place, not behind a further one: so what is scheduled together depends on what was
asked, not on timing.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import Any

from auditkit.errors import AuditkitError, MissingExtraError, ModelError, RunError
from auditkit.models.base import TokenGuard
from auditkit.models.bulk_sampling import Wanted, shared_out
from auditkit.models.delimiters import Ids
from auditkit.models.token_scores import Asked
from auditkit.models.tokenized_model import Arrays
from auditkit.records import Sampler

CHILD = "auditkit.models.vllm_child"
# What the engine's process is told: no report of its use to anyone, no network, threads that wait passively.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the one that takes logits processors
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_RAISE_ON_LOGIT_NANS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # threads go where there is room; bound ones want a memory node a device
}
# Names, by their beginning, that it is not told whatever the policy says; what that names as secret comes on top.
SECRETS = ("AUDITKIT_", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
WHOLE = 2**24  # log-probabilities; vLLM takes about 100 bytes for each
DEVICES = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Settings:
    """What an engine is started with: arguments of ``vllm.LLM``, and a LoRA adapter's folder ("" for none).

    ``hidden``: environment variables that its processes are not told.
    """

    arguments: dict[str, Any]
    adapter: str = ""
    kv_cache_bytes: int | None = None  # None: vLLM's own choice on a GPU, a share of the memory on a CPU
    eager: bool | None = None  # None: on a CPU
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Started:
    """What an engine says of itself once its model is loaded."""

    version: str
    device: str
    context: int
    vocabulary: int


@dataclass(frozen=True)
class Writing:
    """An order to write continuations up to any of ``stops``; ``guarded``: held to the guard that was sent before."""

    wanted: list[Wanted]
    sampler: Sampler
    stops: tuple[int, ...]
    guarded: bool = False


@dataclass(frozen=True)
class Reading:
    """An order to score the tokens of texts behind the first ``start`` ids.

    ``most``: log-probabilities that vLLM may hold at once where the whole vocabulary is asked for.
    """

    texts: list[Ids]
    start: int
    asked: Asked
    most: int = WHOLE


@dataclass(frozen=True)
class Failed:
    """Why an order was not carried out: the kind of the error, and the first line of what it says."""

    kind: str
    reason: str


@dataclass
class Process:
    """One engine in one process."""

    child: subprocess.Popen[bytes]
    pipe: Connection
    guard: TokenGuard | None = field(default=None)  # the one that the process was last sent

    @classmethod
    def start(cls, settings: Settings, number: int, of: int) -> Process:
        """Start process ``number`` of ``of``; its answer to the settings is yet to be received."""
        ours, theirs = Pipe()
        # -P: what lies in the folder that auditkit was called from, perhaps a model's, is no module
        command = [sys.executable, "-P", "-m", CHILD, str(theirs.fileno())]
        with theirs, tempfile.TemporaryFile() as log:  # what the engine prints is nobody's business
            child = subprocess.Popen(  # noqa: S603 - our own program, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(number, of, settings.arguments["tensor_parallel_size"], settings.hidden),
                pass_fds=[theirs.fileno()],
            )
        ours.send(settings)
        return cls(child, ours)

    def send(self, order: object) -> None:
        """Hand an order over; see ``receive``."""
        with contextlib.suppress(BrokenPipeError):  # that it is gone is said when its answer is missing
            self.pipe.send(order)

    def hold(self, guard: TokenGuard | None) -> None:
        """Have the process know this guard, where it does not yet."""
        if guard is not None and self.guard is not guard:
            self.send(guard)
            self.receive()
            self.guard = guard

    def answer(self) -> Any:
        """The answer to the last order, or the error that it came to."""
        try:
            answer = self.pipe.recv()
        except (EOFError, ConnectionError):
            return RunError(  # of the machine, not of the model: an arm that it befalls is not given up for good
                f"the vLLM process ended by itself (exit status {self.child.wait()})",
                "the machine may have run out of memory: lower kv_cache_gib, gpu_memory_utilization or max_model_len",
            )
        return _model_error(answer) if isinstance(answer, Failed) else answer

    def receive(self) -> Any:
        """The answer to the last order.

        Raises:
            ModelError: the engine cannot do it.
            RunError: its process is gone.
        """
        answer = self.answer()
        if isinstance(answer, AuditkitError):
            raise answer
        return answer

    def close(self) -> None:
        """End the process; what it held is free when this returns."""
        self.pipe.close()  # it ends by itself where it can
        try:
            self.child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Engine:
    """One model in one or several processes, which share the work out."""

    def __init__(self, settings: Settings, processes: int = 1) -> None:
        """Start the processes and load the model in each.

        Raises:
            MissingExtraError: vLLM is not installed.
            ModelError: vLLM cannot run this model here.
        """
        self.devices: int = settings.arguments["tensor_parallel_size"]  # that share one copy of the model
        self.processes = [Process.start(settings, number, processes) for number in range(processes)]
        try:
            answers = [process.receive() for process in self.processes]
        except BaseException:
            self.close()
            raise
        self.started: Started = answers[0]

    def write(
        self, wanted: Sequence[Wanted], sampler: Sampler, stops: Sequence[int], guard: TokenGuard | None = None
    ) -> list[list[Ids]]:
        """For each wanted the ids of its copies, the stop token included."""
        parts = shared_out(wanted, len(self.processes))
        orders = [Writing(part, sampler, tuple(stops), guard is not None) for part in parts]
        written = self._answers(orders, guard)
        found = iter(ids for part in written for copies in part for ids in copies)
        return [[next(found) for _ in range(one.copies)] for one in wanted]

    def read(self, texts: Sequence[Ids], start: int, asked: Asked) -> list[Arrays]:
        """For each text the fields of ``Scores`` as arrays, one number a token behind the first ``start``."""
        size = max(1, -(-len(texts) // len(self.processes)))  # of no texts there is no order
        orders = [Reading(list(texts[at : at + size]), start, asked) for at in range(0, len(texts), size)]
        return [scores for part in self._answers(orders, None) for scores in part]

    def close(self) -> None:
        """End all processes."""
        for process in self.processes:
            process.close()

    def _answers(self, orders: Sequence[Writing | Reading], guard: TokenGuard | None) -> list[Any]:
        busy = list(zip(self.processes, orders, strict=False))
        for process, _ in busy:
            process.hold(guard)  # by all, before any is given an order: one that cannot leaves no answer behind
        for process, order in busy:
            process.send(order)
        answers = [process.answer() for process, _ in busy]  # all of them: none is left for the next order
        if failures := [answer for answer in answers if isinstance(answer, AuditkitError)]:
            raise failures[0]
        return answers


def environment(number: int, of: int, devices: int, hidden: Sequence[str] = ()) -> dict[str, str]:
    """The environment of process ``number`` of ``of``, which has ``devices`` devices to itself, less what is hidden."""
    told = (name for name in os.environ if name not in hidden and not name.startswith(SECRETS))
    found = {name: os.environ[name] for name in told}
    found |= ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // (of * devices))))
    if of > 1:
        visible = os.environ.get(DEVICES, ",".join(map(str, range(of * devices)))).split(",")
        found[DEVICES] = ",".join(visible[number * devices : (number + 1) * devices])
    return found


def _model_error(failed: Failed) -> ModelError | MissingExtraError:
    if failed.kind == "ModuleNotFoundError" and "vllm" in failed.reason:
        return MissingExtraError("vllm", "vllm")
    if "NaN" in failed.reason or failed.kind == "FloatingPointError":
        return ModelError("the model gives probabilities that are not numbers", "try dtype: float32")
    return ModelError(
        f"vLLM cannot do this: {failed.kind}: {failed.reason}",
        "if it is about memory, set kv_cache_gib, or lower gpu_memory_utilization or max_model_len; for a model that "
        "vLLM does not run here use backend: transformers",
    )
