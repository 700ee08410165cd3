"""Run the comparisons and write reports/bench.json: ``python -m benchmarks [NAME ...] [--repeats N]``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from benchmarks import embedding, likelihood, memory, scoring_memory, spans, strings, vectors
from benchmarks.measure import Entry, Skipped

GROUPS: dict[str, Callable[[int], list[Entry]]] = {
    "strings": strings.floors,
    "paper": strings.paper_scale,
    "vectors": vectors.vectors,
    "scoring-memory": scoring_memory.within_8_gib,
    "embedding": embedding.default,
    "minilm": embedding.minilm,
    "spans": spans.spans,
    "lab": likelihood.lab_model,
    "bfloat16": likelihood.bfloat16,
    "memory": memory.independent_of_records,
    "smollm2": likelihood.smollm2,
}
# Long enough to be steady, and hours if each were repeated.
MINUTES_A_SIDE = {"strings", "paper", "vectors", "scoring-memory"}


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    asked.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(GROUPS)}; all by default")
    asked.add_argument("--repeats", type=int, default=3, help="how often each side runs, in turn; the median counts")
    asked.add_argument("--out", type=Path, default=Path("reports/bench.json"))
    given = asked.parse_args()
    if unknown := set(given.names).difference(GROUPS):
        asked.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    entries: list[Entry] = []
    for name in given.names or GROUPS:
        try:
            made = GROUPS[name](1 if name in MINUTES_A_SIDE else given.repeats)
        except Skipped as reason:
            print(f"{name}: skipped: {reason}")
            continue
        for entry in made:
            print(entry)
        entries += made
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps([entry.as_json() for entry in entries], indent=1) + "\n")
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
