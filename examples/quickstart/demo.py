"""``make demo``: a model that leaks fails the gate, one of the same family that does not passes it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from demo_audit import make_keys, run_audit  # noqa: E402

EXPECTED = {"policy.yaml": 1, "clean.yaml": 0}


def main() -> int:
    """0 when both audits came out as they should."""
    make_keys()
    out = HERE.parents[1] / "reports"
    audits = [run_audit(Path(os.path.relpath(HERE / name)), out) for name in EXPECTED]
    print("\nDemonstration")
    for audit in audits:
        print(f"  {audit}, expected exit {EXPECTED[audit.policy.name]}")
    as_expected = all(audit.exit_code == EXPECTED[audit.policy.name] for audit in audits)
    print("Both came out as they should." if as_expected else "NOT as expected: see above.")
    return 0 if as_expected else 1


if __name__ == "__main__":
    sys.exit(main())
