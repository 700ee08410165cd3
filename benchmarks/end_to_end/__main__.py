"""``make bench-e2e``: auditkit against the naive pipeline, a whole audit each, in turn in one process.

``python -m benchmarks.end_to_end [NAME ...] [--quick] [--repeats N]`` prints a table of the stages and writes
reports/bench-e2e.json: once with the embedder of the example's policy, once with the peer's on both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from auditkit.policy.schema import Policy
from benchmarks.embedder_candidates import minilm_folder
from benchmarks.end_to_end.agreement import agreement
from benchmarks.end_to_end.cases import Case, Size, cases
from benchmarks.end_to_end.naive import Embedder, Sampler
from benchmarks.end_to_end.sides import STAGES, Naive, NaiveAudit, Ours, by_auditkit, naive_audit
from benchmarks.measure import Entry, Skipped, machine

PEER = "generate in batches of 16, SentenceTransformer.encode, argmax, cdist"
WARM_UP = Size(samples=0.0, tokens=8, records=16, controls=16)


@dataclass(frozen=True)
class Asked:
    """How often each side runs, the peer's dtype, and whether auditkit runs with the peer's embedder as well."""

    repeats: int
    peer_dtype: str
    same_embedder: bool


@dataclass
class Rounds:
    """Each side's runs of a case: auditkit as the policy has it, the naive pipeline, auditkit with its embedder."""

    ours: list[Ours] = field(default_factory=list)
    naive: list[Naive] = field(default_factory=list)
    alike: list[Ours] = field(default_factory=list)
    load: list[float] = field(default_factory=list)


def measured(case: Case, size: Size, asked: Asked, out: Path) -> list[Entry]:
    """All sides in turn; machine code is compiled and libraries are loaded before anything is timed."""
    with tempfile.TemporaryDirectory() as folder:
        _round(case, _policies(case, Path(folder) / "warm", WARM_UP), asked, out, Rounds())
        rounds, policies = Rounds(), _policies(case, Path(folder) / "timed", size)
        peer = [_round(case, policies, asked, out, rounds) for _ in range(asked.repeats)][-1]
        more: dict[str, Any] = {"size": str(size), "load": [round(load, 1) for load in rounds.load]}
        name = f"end to end, {case.name}"
        entries = [entry(name, rounds.ours, rounds.naive, asked, more)]
        if asked.same_embedder:
            agreed = agreement(rounds.alike[-1], peer)
            more = {**more, "same_generations": agreed.as_json()}
            found = entry(f"{name}, same embedder", rounds.alike, rounds.naive, asked, more)
            entries.append(replace(found, identical=found.identical and agreed.same))
        return entries


def _policies(case: Case, folder: Path, size: Size) -> tuple[Policy, Policy]:
    """With the policy's own embedder, and with the peer's; each beside a cache of its own."""
    return case.prepared(folder / "own", size, False), case.prepared(folder / "alike", size, True)


def _round(case: Case, policies: tuple[Policy, Policy], asked: Asked, out: Path, rounds: Rounds) -> NaiveAudit:
    """One run of each side."""
    rounds.load.append(os.getloadavg()[0])
    rounds.ours.append(by_auditkit(policies[0], out))
    models = Sampler(case.peer_weights(), asked.peer_dtype), Embedder(minilm_folder())
    peer = naive_audit(rounds.ours[-1], policies[0], case.turn_change, models)
    rounds.naive.append(peer.run())
    if asked.same_embedder:
        rounds.alike.append(by_auditkit(policies[1], out))
    return peer


def entry(name: str, ours: Sequence[Ours], peer: Sequence[Naive], asked: Asked, more: dict[str, Any]) -> Entry:
    """One comparison as ``reports/bench.json`` has them, its stages beside it; the same verdicts are ``identical``."""
    stages = {
        stage: {
            "ours_s": round(median(run.seconds[stage] for run in ours), 2),
            "peer_s": round(median(run.seconds[stage] for run in peer), 2),
        }
        for stage in STAGES
    }
    whole, of_peer = (round(sum(each[side] for each in stages.values()), 2) for side in ("ours_s", "peer_s"))
    verdicts = [sorted({run.verdict for run in runs}) for runs in (ours, peer)]
    return Entry(
        name=name,
        peer=f"{PEER}, {asked.peer_dtype}",
        n=sum(map(len, peer[-1].generations.values())),
        ratio=round(of_peer / whole, 2),
        identical=verdicts[0] == verdicts[1] and len(verdicts[0]) == 1,
        ours_s=whole,
        peer_s=of_peer,
        more={
            **more,
            "repeats": len(ours),
            "verdict": verdicts[0],
            "verdict_of_peer": verdicts[1],
            "stages": {stage: {**both, "ratio": _ratio(both)} for stage, both in stages.items()},
        },
    )


def _ratio(both: dict[str, float]) -> float | None:
    return round(both["peer_s"] / both["ours_s"], 2) if both["ours_s"] >= 0.005 else None


def table(entries: Sequence[Entry]) -> str:
    """The stages of every case as Markdown: seconds of auditkit, of the naive pipeline, and their ratio."""
    names = [made.name.removeprefix("end to end, ") for made in entries]
    lines = ["| stage | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for stage in STAGES:
        lines.append(f"| {stage} | " + " | ".join(_cell(made.more["stages"][stage]) for made in entries) + " |")
    whole = [_cell({"ours_s": made.ours_s, "peer_s": made.peer_s, "ratio": made.ratio}) for made in entries]
    lines.append("| **together** | " + " | ".join(whole) + " |")
    lines.append("| verdict | " + " | ".join(_verdicts(made.more) for made in entries) + " |")
    lines.append("| same scores | " + " | ".join(_scores(made.more.get("same_generations")) for made in entries) + " |")
    return "\n".join(lines)


def _cell(both: dict[str, Any]) -> str:
    ratio = "" if both["ratio"] is None else f", {both['ratio']:.2f}"
    return f"{both['ours_s']:.1f} s against {both['peer_s']:.1f} s{ratio}"


def _verdicts(more: Any) -> str:
    return f"{', '.join(more['verdict'])} on either side" if more["verdict"] == more["verdict_of_peer"] else "differ"


def _scores(found: dict[str, Any] | None) -> str:
    if found is None:
        return "other embedder"
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
    asked.add_argument("--own-embedder", action="store_true", help="leave out auditkit with the peer's embedder")
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
                wanted = Asked(given.repeats, given.peer_dtype, not given.own_embedder)
                made = measured(known[name], size, wanted, Path(runs))
            except Skipped as reason:
                print(f"{name}: skipped: {reason}")
                continue
            entries += made
            print(*made, sep="\n", flush=True)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps([made.as_json() for made in entries], indent=1) + "\n")
    print(f"\n{machine()}\n\n{table(entries)}\n\nwritten: {given.out}")


if __name__ == "__main__":
    main()
