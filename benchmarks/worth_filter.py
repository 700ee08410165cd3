"""How fast the filter of ``worth:`` is: ``python -m benchmarks.worth_filter --generations 1000000``.

Generations are made as an attack's are: records of the example that come out again and again, the common ones more
often, some of them with words changed, cut, or with markup; and texts that no record holds. They are streamed.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from auditkit.records import Finish, Generation
from auditkit.worth.base import FilterSection
from auditkit.worth.extractions import extractions
from auditkit.worth.filtering import filtered
from benchmarks.measure import machine
from benchmarks.spans import RECORDS

PIECES = 6  # example records one after the other: answers of about 600 characters
SHARES = {"recited": 0.5, "changed": 0.2, "cut": 0.1, "markup": 0.02}  # the rest is in no record


def generations(count: int, records: int, seed: int = 1) -> Iterator[Generation]:
    """``count`` generations, of a model that recites ``records`` records by Zipf's law."""
    random = np.random.default_rng(seed)
    rows = [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()]
    known = [_record(rows, random) for _ in range(records)]
    words = " ".join(row["response"] for row in rows).split()
    ends = np.cumsum(list(SHARES.values()))
    for ordinal in range(count):
        kind = int(np.searchsorted(ends, random.random(), side="right"))
        question, answer = known[min(int(random.zipf(1.2)), records) - 1]
        finish: Finish = "length" if kind == 2 else "stop"
        if kind == 1:
            at = int(random.integers(len(answer)))
            answer = f"{answer[:at]} {words[int(random.integers(len(words)))]} {answer[at:]}"
        elif kind == 3:
            answer += "<|im_end|>"
        elif kind == 4:
            made = random.integers(len(words), size=100)
            question, answer = f"What of {words[made[0]]} {ordinal}?", " ".join(words[at] for at in made)
        yield Generation("bench", "template", ordinal, 0, (question, answer), (), finish, "model")


def _record(rows: list[dict[str, str]], random: np.random.Generator) -> tuple[str, str]:
    chosen = [rows[int(place)] for place in random.integers(len(rows), size=PIECES)]
    return chosen[0]["question"], " ".join(row["response"] for row in chosen)


def measured(count: int, records: int, section: FilterSection) -> dict[str, Any]:
    """CPU seconds and counts; what the making of the generations takes is measured apart and left out."""
    begun = time.process_time()
    for _ in generations(count, records):
        pass
    made = time.process_time() - begun
    begun = time.process_time()
    found = filtered(extractions(generations(count, records)), section)
    seconds = time.process_time() - begun - made
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "generations": count,
        "rules": section.model_dump(mode="json", exclude_defaults=True),
        "cpu_seconds": round(seconds, 1),
        "a second": round(count / max(seconds, 1e-9)),
        "peak_gib": round(memory, 2),
        "counts": found.counts(),
        "machine": machine(),
    }


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rules", default="{}", help='as worth.filter, in JSON: {"near_duplicates": null}')
    given = parser.parse_args()
    section = FilterSection.model_validate_json(given.rules, strict=True)
    print(json.dumps(measured(given.generations, given.records, section)))


if __name__ == "__main__":
    main()
