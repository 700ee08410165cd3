"""What the demonstrations share: keys of their own, one audit as a user would type it, the time it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

KEYS = Path(__file__).parent / "demo-keys"
OUTCOMES = {0: "passed", 1: "failed", 2: "refused", 3: "was inconclusive", 4: "broke"}


@dataclass(frozen=True)
class Audit:
    """One finished call of the command line."""

    policy: Path
    exit_code: int
    seconds: float

    def __str__(self) -> str:
        outcome = OUTCOMES.get(self.exit_code, "?")
        return f"{self.policy.name}: the gate {outcome} (exit {self.exit_code}) in {self.seconds:.0f} s"


def make_keys() -> None:
    """Keys for this demonstration alone, labelled DEMO; made here, never committed."""
    if not (KEYS / "auditkit.key").exists():
        auditkit("keygen", str(KEYS), "--label", "DEMO", "--subject", "auditkit demonstration")
    os.environ["AUDITKIT_KEY"] = str(KEYS / "auditkit.key")


def auditkit(*arguments: str) -> int:
    """The command line in a process of its own; its exit code."""
    return subprocess.run([sys.executable, "-m", "auditkit", *arguments], check=False).returncode


def run_audit(policy: Path, out: Path) -> Audit:
    """``auditkit run POLICY``, timed. An interrupted run of the same policy is resumed."""
    started = time.monotonic()
    print(f"\n$ auditkit run {policy}", flush=True)
    unfinished = unfinished_run(policy, out)
    arguments = ["--resume", str(unfinished)] if unfinished else [str(policy), "--out", str(out)]
    return Audit(policy, auditkit("run", *arguments), time.monotonic() - started)


def unfinished_run(policy: Path, out: Path) -> Path | None:
    """The newest run of this very policy file that has no attestation yet."""
    runs = sorted(out.glob("*-*Z-*/evidence/run_state.json"), key=lambda state: state.stat().st_mtime)
    for state in reversed(runs):
        run = state.parents[1]
        if f'"policy_file": "{policy.resolve()}"' in state.read_text() and not (run / "attestation.dsse.json").exists():
            return run
    return None
