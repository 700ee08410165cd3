"""``make bench-e2e``: auditkit against the naive pipeline, a whole audit each, in turn in one process.

``python -m benchmarks.end_to_end [NAME ...] [--quick] [--repeats N] [--peer-dtype DTYPE]`` prints a table of the stages and writes
reports/bench-e2e.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from auditkit.policy.schema import Policy
from benchmarks.embedder_candidates import minilm_folder
from benchmarks.end_to_end.agreement import Agreement, agreement
from benchmarks.end_to_end.cases import Case, Size, cases
from benchmarks.end_to_end.sides import STAGES, Naive, NaiveAudit, Ours, by_auditkit, naive_audit
from benchmarks.measure import Entry, Skipped, machine

PEER = "generate in batches of 16, SentenceTransformer.encode, argmax, cdist"
WARM_UP = Size(samples=0.0, tokens=8, records=16, controls=16)


@dataclass
class Rounds:
    """Each side's runs of a case, and what was found on the way."""

    ours: list[Ours] = field(default_factory=list)
    naive: list[Naive] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    agreed: Agreement = field(default_factory=Agreement)

    def seconds(self, side: str, stage: str) -> float:
        """The median of a stage over a side's runs."""
        return median(run.seconds[stage] for run in getattr(self, side))

    @property
    def verdicts(self) -> tuple[set[str], set[str]]:
        """Of either side."""
        return {run.verdict for run in self.ours}, {run.verdict for run in self.naive}


def measured(case: Case, size: Size, repeats: int, peer_dtype: str, out: Path) -> Entry:
    """Both sides in turn; machine code is compiled and libraries are loaded before anything is timed."""
    with tempfile.TemporaryDirectory() as folder:
        warm, timed = (_made(Path(folder) / name) for name in ("warm", "timed"))
        _round(case, case.prepared(warm, WARM_UP), peer_dtype, out, Rounds())
        rounds, policy = Rounds(), case.prepared(timed, size)
        peer = [_round(case, policy, peer_dtype, out, rounds) for _ in range(repeats)][-1]
        rounds.agreed = agreement(rounds.ours[-1], peer)
        return entry(case, size, rounds, peer_dtype)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _round(case: Case, policy: Policy, peer_dtype: str, out: Path, rounds: Rounds) -> NaiveAudit:
    """One run of either side."""
    rounds.load.append(os.getloadavg()[0])
    ours = by_auditkit(policy, out)
    peer = naive_audit(ours, policy, case.turn_change, case.peer_weights(), minilm_folder(), peer_dtype)
    rounds.naive.append(peer.run())
    rounds.ours.append(ours)
    return peer


def entry(case: Case, size: Size, rounds: Rounds, peer_dtype: str) -> Entry:
    """The comparison as ``reports/bench.json`` has them, its stages beside it."""
    stages = {
        stage: {"ours_s": rounds.seconds("ours", stage), "peer_s": rounds.seconds("naive", stage)} for stage in STAGES
    }
    ours, peer = (sum(each[side] for each in stages.values()) for side in ("ours_s", "peer_s"))
    verdicts = rounds.verdicts
    return Entry(
        name=f"end to end, {case.name}",
        peer=f"{PEER}, {peer_dtype}",
        n=sum(map(len, rounds.naive[-1].generations.values())),
        ratio=round(peer / ours, 3),
        identical=verdicts[0] == verdicts[1] and len(verdicts[0]) == 1 and rounds.agreed.same,
        ours_s=round(ours, 2),
        peer_s=round(peer, 2),
        more={
            "size": str(size),
            "repeats": len(rounds.ours),
            "load": [round(load, 1) for load in rounds.load],
            "verdict": sorted(verdicts[0]),
            "verdict_of_peer": sorted(verdicts[1]),
            "same_generations": rounds.agreed.as_json(),
            "stages": {
                name: {**{side: round(value, 2) for side, value in both.items()}, "ratio": _ratio(both)}
                for name, both in stages.items()
            },
        },
    )


def _ratio(both: dict[str, float]) -> float | None:
    return round(both["peer_s"] / both["ours_s"], 2) if both["ours_s"] >= 0.005 else None


def table(entries: Sequence[Entry]) -> str:
    """The stages of every case as Markdown: seconds of auditkit, of the naive pipeline, and their ratio."""
    names = [made.name.removeprefix("end to end, ") for made in entries]
    lines = ["| stage | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    lines += [f"| {stage} | " + " | ".join(_cell(made.more["stages"][stage]) for made in entries) + " |" for stage in STAGES]
    whole = [_cell({"ours_s": made.ours_s, "peer_s": made.peer_s, "ratio": made.ratio}) for made in entries]
    lines.append("| **together** | " + " | ".join(whole) + " |")
    lines.append("| verdict | " + " | ".join(_verdicts(made.more) for made in entries) + " |")
    lines.append("| same scores | " + " | ".join(_scores(made.more["same_generations"]) for made in entries) + " |")
    return "\n".join(lines)


def _cell(both: dict[str, Any]) -> str:
    ratio = "" if both["ratio"] is None else f", {both['ratio']:.2f}"
    return f"{both['ours_s']:.1f} s against {both['peer_s']:.1f} s{ratio}"


def _verdicts(more: Any) -> str:
    return f"{', '.join(more['verdict'])} on either side" if more["verdict"] == more["verdict_of_peer"] else "differ"


def _scores(found: dict[str, Any]) -> str:
    differing = found["other_record"] + found["other_string"] + found["other_rate"]
    return f"{found['compared']:,} compared, {differing} differ, cosines by at most {found['largest_difference']:.0e}"


def main() -> None:
    known = {case.name: case for case in cases()}
    asked = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description=__doc__)
    asked.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all by default")
    asked.add_argument("--quick", action="store_true", help="few samples, and of SmolLM2's records a part")
    asked.add_argument("--samples", type=float, help="share of the samples, 1 being the example's")
    asked.add_argument("--tokens", type=int, help="new tokens a sample at most")
    asked.add_argument("--records", type=int, help="members of a dataset at most (of controls no fewer than 800)")
    asked.add_argument("--repeats", type=int, default=1, help="how often each side runs, in turn; medians count")
    asked.add_argument("--peer-dtype", default="float32", help="of the peer's weights; auto: as transformers has it")
    asked.add_argument("--out", type=Path, default=Path("reports/bench-e2e.json"))
    given = asked.parse_args()
    if unknown := set(given.names).difference(known):
        asked.error(f"there is no case {', '.join(sorted(unknown))}")
    own = Size(given.samples or 1.0, given.tokens, given.records)
    entries: list[Entry] = []
    with tempfile.TemporaryDirectory() as runs:
        for name in given.names or known:
            size = known[name].quick if given.quick else own
            try:
                entries.append(measured(known[name], size, given.repeats, given.peer_dtype, Path(runs)))
            except Skipped as reason:
                print(f"{name}: skipped: {reason}")
                continue
            print(entries[-1], flush=True)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps([made.as_json() for made in entries], indent=1) + "\n")
    print(f"\n{machine()}\n\n{table(entries)}\n\nwritten: {given.out}")


if __name__ == "__main__":
    main()
