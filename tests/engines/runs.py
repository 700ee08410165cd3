"""The same project for each engine, and what must be the same of two runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from auditkit import audit, load_policy

from ..auditing.scripted_project import rows, said, write_project

SCRIPT = said(rows(100, 1)[:12] + rows(40, 5))
SMALL = {"texts_in_unit": 64, "rows_in_shard": 40}  # so that little is already several units and shards
GENERATION = {"embed": "driver", "score": "driver"}
SAMPLES = 200
ATTACKS = [{"kind": "template_prefix", "samples": SAMPLES, "max_new_tokens": 400, "seed": 1}]
QUESTIONS: dict[
    str, Any
] = {  # records without answers have a single view, and a stage as many pipelines as it has views
    "datasets": [
        {"name": "sft", "stage": "rl", "path": "sft.jsonl", "fields": {"prompt": "q"}, "controls": "controls.jsonl"}
    ]
}


def project(folder: Path, engine: dict[str, Any], delay_ms: int = 0, **changes: Any) -> Path:
    """A policy for this engine; everything else is the same for all."""
    folder.mkdir()
    (folder / ".auditkit-secret").write_text("a secret that all runs share")
    candidate = {"backend": "scripted", "path": "script.jsonl", "batch_size": 10, "delay_ms": delay_ms, "cut": 0.1}
    settings = {"models": {"candidate": candidate}, "attacks": ATTACKS, "engine": engine, **changes}
    settings["report"] = {"formats": ["json"], "sign": "none"}
    return write_project(folder, SCRIPT, **settings)


def ray(address: str, **more: Any) -> dict[str, Any]:
    """The engine's section."""
    return {"kind": "ray", "address": address, **SMALL, **more}


def run(policy: Path) -> Path:
    """The run folder of an audit."""
    audit(load_policy(policy), policy.parent / "reports")
    return folder_of(policy)


def folder_of(policy: Path) -> Path:
    """The run folder of the only run, finished or not."""
    [found] = (path for path in (policy.parent / "reports").iterdir() if path.is_dir())
    return found


def comparable(folder: Path) -> dict[str, Any]:
    """audit.json without what tells one run, one moment and one engine from another: the policies' lengths differ."""
    report: dict[str, Any] = json.loads((folder / "audit.json").read_bytes())
    report["run"] = {"embedding": report["run"]["embedding"]}
    report["provenance"].pop("engines", None)
    for name in ("text", "sha256"):
        del report["policy"][name]
    del report["earlier_runs"]["ledger_sha256"]
    for rule in report["verdict"]["rules"]:
        del rule["line"]
    return report


def assert_same(one: Path, other: Path) -> None:
    """Reports and evidence, to the last bit of every array."""
    assert comparable(one) == comparable(other)
    names = sorted(path.name for path in (one / "evidence").iterdir() if path.suffix in (".parquet", ".npz"))
    assert names
    for name in names:
        mine, theirs = one / "evidence" / name, other / "evidence" / name
        if name.endswith(".parquet"):
            assert pq.read_table(mine).equals(pq.read_table(theirs)), name
        else:
            with np.load(mine) as a, np.load(theirs) as b:
                assert set(a) == set(b)
                assert all(a[key].tobytes() == b[key].tobytes() for key in a if key != "blind"), name


def ordinals(folder: Path) -> list[int]:
    """Of the generations on disk, as they stand."""
    found: list[int] = pq.read_table(folder / "evidence" / "generations-template_prefix.parquet")["ordinal"].to_pylist()
    return found
