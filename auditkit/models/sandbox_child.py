"""The program inside the sandbox: loads one worker, lets go of everything else, then meets the hostile input.

It is run by path in an isolated interpreter and imports nothing but the standard library and the worker, so that it
starts in a tenth of a second. The parent's side is ``sandbox.py``.

Protocol: ``argv`` is the worker's path, the limits as JSON, and further import folders. Once the limits are in force
a line ``ready`` goes out; then one JSON job is read from stdin, and one JSON answer written to stdout.
"""

from __future__ import annotations

import importlib.util
import json
import math
import resource
import sys
from types import ModuleType
from typing import Any


def main() -> None:
    """Answer one job within the limits."""
    worker = _load(sys.argv[1], sys.argv[3:])
    _confine(json.loads(sys.argv[2]))
    print("ready", flush=True)  # noqa: T201 - this line is the protocol
    answer = _answer(worker, json.loads(sys.stdin.read()))
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


def _load(path: str, folders: list[str]) -> ModuleType:
    """The worker module, with the folders of the libraries that it needs put behind the standard ones."""
    sys.path.extend(folders)
    spec = importlib.util.spec_from_file_location("sandbox_worker", path)
    assert spec is not None and spec.loader is not None
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    if hasattr(worker, "warm_up"):
        worker.warm_up()  # imports that a library puts off would fail once no file can be opened
    return worker


def _confine(limits: dict[str, int]) -> None:
    """Bound memory and time; from here on no file can be opened, no socket made, nothing written but the answer."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    bounds = {
        resource.RLIMIT_AS: limits["memory"],
        resource.RLIMIT_CPU: math.ceil(used + limits["seconds"]),
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 0,
    }
    for kind, bound in bounds.items():
        resource.setrlimit(kind, (bound, bound))


def _answer(worker: ModuleType, job: Any) -> dict[str, Any]:
    """What the worker says, or in which way the input went too far."""
    try:
        return {"result": worker.work(job)}
    except MemoryError:
        return {"failure": "memory"}
    except RecursionError:
        return {"failure": "recursion"}
    except ValueError as error:  # a worker's own word for input that it refuses
        return {"failure": "refused", "reason": str(error)[:2000]}


if __name__ == "__main__":
    main()
