"""Reads a dataset in a process of its own: `weigh FILE` prints what came of it, the time and the memory it took."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Weighed:
    """What came of reading a file: records, bad lines or the error; seconds; MiB on top of an empty reading."""

    records: int
    bad: list[list[object]]
    error: str
    seconds: float
    mebibytes: float


def weighed(path: Path) -> Weighed:
    """Read the file elsewhere, where its memory can be told from that of other tests."""
    command, root = [sys.executable, "-m", "tests.corpus.weigh", str(path)], Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return Weighed(**json.loads(done.stdout))


def _main(path: Path) -> None:
    import tempfile

    from auditkit.corpus.fields import FieldMap
    from auditkit.corpus.read import read_corpus
    from auditkit.errors import DataError

    fields = FieldMap(prompt="q", response="a")
    with tempfile.TemporaryDirectory() as folder:  # what the libraries themselves take
        small = Path(folder, path.name)
        small.write_bytes(b"")
        try:
            read_corpus(str(small), fields, dataset="test", split="member")
        except DataError:
            pass
    before, started = _peak(), time.perf_counter()
    result: dict[str, object] = {"records": 0, "bad": [], "error": ""}
    try:
        corpus = read_corpus(str(path), fields, dataset="test", split="member", max_bad_share=1.0)
        result |= {"records": len(corpus.records), "bad": [[bad.line, bad.reason] for bad in corpus.bad]}
    except DataError as error:
        result["error"] = str(error)
    taken = {"seconds": time.perf_counter() - started, "mebibytes": (_peak() - before) / 1024}
    sys.stdout.write(json.dumps(result | taken))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
